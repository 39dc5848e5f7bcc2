// Runs one signature of a SavedModel through tensorflow::LoadSavedModel, the loader
// of TF Serving, with no Python in the process.
//
//   sm_run DIR SIGNATURE INPUT=@FILE [INPUT=@FILE ...]
//
// Every INPUT is a string tensor; several arguments of one name are its batch, and
// INPUT=TEXT gives the text itself. XLA is switched off first, as
// tensorflow_model_server does unless told otherwise; SM_XLA=1 leaves it on.
//
// Standard output: one JSON object per output, sorted by name:
//   {"name": "score", "dtype": "float", "shape": [2], "values": [-1.25, -3.5]}
// Exit status: 0; 2 for wrong arguments; 3 where TensorFlow reports an error, which
// is then the only line: {"error": "INTERNAL: ..."}.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
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

bool ReadInputs(int count, char** words,
                std::map<std::string, std::vector<std::string>>* inputs) {
  for (int i = 0; i < count; ++i) {
    const std::string word = words[i];
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      std::fprintf(stderr, "expected INPUT=@FILE, received %s\n", words[i]);
      return false;
    }
    std::string content = word.substr(equals + 1);
    if (!content.empty() && content[0] == '@') {
      std::ifstream file(content.substr(1), std::ios::binary);
      if (!file) {
        std::fprintf(stderr, "cannot read %s\n", content.c_str() + 1);
        return false;
      }
      content.assign(std::istreambuf_iterator<char>(file), {});
    }
    (*inputs)[word.substr(0, equals)].push_back(content);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "sm_run DIR SIGNATURE INPUT=@FILE [INPUT=@FILE ...]\n");
    return 2;
  }
  std::map<std::string, std::vector<std::string>> inputs;
  if (!ReadInputs(argc - 3, argv + 3, &inputs)) return 2;
  if (std::getenv("SM_XLA") == nullptr) tensorflow::DisableXlaCompilation();

  tensorflow::SavedModelBundle bundle;
  absl::Status status = tensorflow::LoadSavedModel(
      tensorflow::SessionOptions(), tensorflow::RunOptions(), argv[1],
      {"serve"}, &bundle);
  if (!status.ok()) return Fail(status);

  const auto& signatures = bundle.meta_graph_def.signature_def();
  const auto found = signatures.find(argv[2]);
  if (found == signatures.end()) {
    return Fail(absl::NotFoundError(std::string("no signature ") + argv[2]));
  }
  std::vector<std::pair<std::string, tensorflow::Tensor>> feeds;
  for (const auto& [name, batch] : inputs) {
    const auto input = found->second.inputs().find(name);
    if (input == found->second.inputs().end()) {
      return Fail(absl::NotFoundError("no input " + name));
    }
    tensorflow::Tensor tensor(tensorflow::DT_STRING,
                              {static_cast<int64_t>(batch.size())});
    for (size_t i = 0; i < batch.size(); ++i) {
      tensor.flat<tensorflow::tstring>()(i) = batch[i];
    }
    feeds.emplace_back(input->second.name(), tensor);
  }
  const std::map<std::string, tensorflow::TensorInfo> outputs(
      found->second.outputs().begin(), found->second.outputs().end());
  std::vector<std::string> fetches;
  for (const auto& [name, info] : outputs) fetches.push_back(info.name());

  std::vector<tensorflow::Tensor> results;
  status = bundle.session->Run(feeds, fetches, {}, &results);
  if (!status.ok()) return Fail(status);
  size_t i = 0;
  for (const auto& [name, info] : outputs) Print(name, results[i++]);
  return 0;
}
