// Runs signatures of a SavedModel through tensorflow::LoadSavedModel, the loader
// of TF Serving, with no Python in the process.
//
//   sm_run DIR SIGNATURE INPUT=ROW [INPUT=ROW ...] [-- SIGNATURE INPUT=ROW ...]
//
// Several arguments of one name are its batch; INPUT alone is a batch of no rows. A ROW
// of strings is a text, or @FILE with its bytes, of several strings with U+001E between
// them; of numbers, the numbers with spaces between them. XLA is switched off first, as
// tensorflow_model_server does unless told otherwise; SM_XLA=1 leaves it on.
//
// Standard output: one JSON object per output, sorted by name, and an empty line behind
// each request:
//   {"name": "score", "dtype": "float", "shape": [2], "values": [-1.25, -3.5]}
// Exit status: 0; 2 for wrong arguments; 3 where TensorFlow reports an error, which
// is then the last line: {"error": "INTERNAL: ..."}.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/public/session.h"
#include "tensorflow/core/public/session_options.h"

namespace tensorflow {
// Exported by libtensorflow_cc, declared in a header that the wheel does not ship.
void DisableXlaCompilation();
}  // namespace tensorflow

namespace {

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

int Fail(const absl::Status& status) {
  std::printf("{\"error\": %s}\n", Quoted(status.ToString()).c_str());
  return 3;
}

// 9 digits tell every float from its neighbours.
std::string Value(const tensorflow::Tensor& tensor, int64_t i) {
  char number[40];
  switch (tensor.dtype()) {
    case tensorflow::DT_STRING:
      return Quoted(std::string(tensor.flat<tensorflow::tstring>()(i)));
    case tensorflow::DT_BOOL:
      return tensor.flat<bool>()(i) ? "true" : "false";
    case tensorflow::DT_INT32:
      return std::to_string(tensor.flat<int32_t>()(i));
    case tensorflow::DT_INT64:
      return std::to_string(tensor.flat<int64_t>()(i));
    case tensorflow::DT_FLOAT:
      std::snprintf(number, sizeof number, "%.9g", tensor.flat<float>()(i));
      return number;
    default:
      return "null";
  }
}

void Print(const std::string& name, const tensorflow::Tensor& tensor) {
  std::printf("{\"name\": %s, \"dtype\": \"%s\", \"shape\": [", Quoted(name).c_str(),
              tensorflow::DataTypeString(tensor.dtype()).c_str());
  for (int d = 0; d < tensor.dims(); ++d) {
    std::printf("%s%lld", d ? ", " : "", static_cast<long long>(tensor.dim_size(d)));
  }
  std::printf("], \"values\": [");
  for (int64_t i = 0; i < tensor.NumElements(); ++i) {
    std::printf("%s%s", i ? ", " : "", Value(tensor, i).c_str());
  }
  std::printf("]}\n");
}

using Rows = std::vector<std::string>;

struct Request {
  std::string signature;
  std::map<std::string, Rows> inputs;
};

bool ReadRequests(int count, char** words, std::vector<Request>* requests) {
  bool begins = true;
  for (int i = 0; i < count; ++i) {
    const std::string word = words[i];
    if (begins) {
      requests->push_back({word, {}});
      begins = false;
      continue;
    }
    begins = word == "--";
    if (begins) continue;
    const size_t equals = word.find('=');
    Rows& rows = requests->back().inputs[word.substr(0, equals)];
    if (equals == std::string::npos) continue;
    std::string row = word.substr(equals + 1);
    if (!row.empty() && row[0] == '@') {
      std::ifstream file(row.substr(1), std::ios::binary);
      if (!file) {
        std::fprintf(stderr, "cannot read %s\n", row.c_str() + 1);
        return false;
      }
      row.assign(std::istreambuf_iterator<char>(file), {});
    }
    rows.push_back(row);
  }
  return true;
}

std::vector<double> Numbers(const std::string& row) {
  std::istringstream stream(row);
  return {std::istream_iterator<double>(stream), {}};
}

// What stands between the U+001E of a row.
Rows Strings(const std::string& row) {
  Rows found(1);
  for (char c : row) {
    if (c == '\x1e') {
      found.emplace_back();
    } else {
      found.back() += c;
    }
  }
  return found;
}

// The tensor that the signature asks for, of these rows.
absl::StatusOr<tensorflow::Tensor> Fill(const tensorflow::TensorInfo& info,
                                        const Rows& rows) {
  tensorflow::TensorShape shape({static_cast<int64_t>(rows.size())});
  if (info.dtype() == tensorflow::DT_STRING) {
    Rows strings = rows;
    if (info.tensor_shape().dim_size() > 1) {
      strings.clear();
      for (const std::string& row : rows) {
        const Rows more = Strings(row);
        strings.insert(strings.end(), more.begin(), more.end());
      }
      shape.AddDim(rows.empty() ? 0 : strings.size() / rows.size());
    }
    tensorflow::Tensor tensor(info.dtype(), shape);
    for (size_t i = 0; i < strings.size(); ++i) {
      tensor.flat<tensorflow::tstring>()(i) = strings[i];
    }
    return tensor;
  }
  std::vector<double> numbers;
  for (const std::string& row : rows) {
    const std::vector<double> more = Numbers(row);
    numbers.insert(numbers.end(), more.begin(), more.end());
  }
  if (info.tensor_shape().dim_size() > 1) {
    const int64_t size = info.tensor_shape().dim(1).size();
    const int64_t columns = rows.empty() ? 0 : numbers.size() / rows.size();
    shape.AddDim(size < 0 ? columns : size);
  }
  if (shape.num_elements() != static_cast<int64_t>(numbers.size())) {
    return absl::InvalidArgumentError("expected " + shape.DebugString() + " numbers");
  }
  tensorflow::Tensor tensor(info.dtype(), shape);
  for (size_t i = 0; i < numbers.size(); ++i) {
    switch (info.dtype()) {
      case tensorflow::DT_BOOL:
        tensor.flat<bool>()(i) = numbers[i] != 0;
        break;
      case tensorflow::DT_INT32:
        tensor.flat<int32_t>()(i) = static_cast<int32_t>(numbers[i]);
        break;
      case tensorflow::DT_FLOAT:
        tensor.flat<float>()(i) = static_cast<float>(numbers[i]);
        break;
      default:
        return absl::UnimplementedError("no numbers of this type");
    }
  }
  return tensor;
}

absl::Status Run(const tensorflow::SavedModelBundle& bundle, const Request& request) {
  const auto& signatures = bundle.meta_graph_def.signature_def();
  const auto found = signatures.find(request.signature);
  if (found == signatures.end()) {
    return absl::NotFoundError("no signature " + request.signature);
  }
  std::vector<std::pair<std::string, tensorflow::Tensor>> feeds;
  for (const auto& [name, rows] : request.inputs) {
    const auto input = found->second.inputs().find(name);
    if (input == found->second.inputs().end()) {
      return absl::NotFoundError("no input " + name);
    }
    const auto tensor = Fill(input->second, rows);
    if (!tensor.ok()) return tensor.status();
    feeds.emplace_back(input->second.name(), *tensor);
  }
  const std::map<std::string, tensorflow::TensorInfo> outputs(
      found->second.outputs().begin(), found->second.outputs().end());
  std::vector<std::string> fetches;
  for (const auto& [name, info] : outputs) fetches.push_back(info.name());

  std::vector<tensorflow::Tensor> results;
  const absl::Status status = bundle.session->Run(feeds, fetches, {}, &results);
  if (!status.ok()) return status;
  size_t i = 0;
  for (const auto& [name, info] : outputs) Print(name, results[i++]);
  std::printf("\n");
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "sm_run DIR SIGNATURE INPUT=ROW [INPUT=ROW ...]\n");
    return 2;
  }
  std::vector<Request> requests;
  if (!ReadRequests(argc - 2, argv + 2, &requests)) return 2;
  if (std::getenv("SM_XLA") == nullptr) tensorflow::DisableXlaCompilation();

  tensorflow::SavedModelBundle bundle;
  absl::Status status = tensorflow::LoadSavedModel(
      tensorflow::SessionOptions(), tensorflow::RunOptions(), argv[1],
      {"serve"}, &bundle);
  for (size_t i = 0; status.ok() && i < requests.size(); ++i) {
    status = Run(bundle, requests[i]);
  }
  return status.ok() ? 0 : Fail(status);
}
