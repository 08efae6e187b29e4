// The part of TFLite-Micro's C++ interface that example.cc uses, on the interpreter of the package
// tflite-micro: a child process runs tflm_server.py, and both talk through two pipes.
#ifndef RNN_DEPLOY_TFLM_STAND_IN_H_
#define RNN_DEPLOY_TFLM_STAND_IN_H_

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

enum TfLiteStatus { kTfLiteOk, kTfLiteError };

struct TfLiteTensor {
  union {
    void* raw;
    float* f;
    int32_t* i32;
    bool* b;
    int8_t* int8;
    int16_t* i16;
  } data;
  size_t bytes;
};

namespace tflite {

struct Model {};

inline const Model* GetModel(const void* content) { return static_cast<const Model*>(content); }

class MicroInterpreter {
 public:
  template <typename Resolver>
  MicroInterpreter(const Model* model, Resolver& resolver, uint8_t*, uint64_t arena)
      : model_(model), arena_(arena), complete_(resolver.count == kOperatorCount) {}

  TfLiteStatus AllocateTensors() {
    int down[2], up[2];
    if (!complete_ || pipe(down) || pipe(up)) return kTfLiteError;
    if (fork() == 0) {
      dup2(down[0], 0);
      dup2(up[1], 1);
      close(down[1]);  // else the child would wait for itself at the end
      close(up[0]);
      execl(TFLM_PYTHON, TFLM_PYTHON, TFLM_SERVER, nullptr);
      _exit(127);
    }
    close(down[0]);
    close(up[1]);
    to_ = fdopen(down[1], "wb");
    from_ = fdopen(up[0], "rb");
    uint64_t length = TFLM_LENGTH;
    Send(&length, sizeof length);
    Send(&arena_, sizeof arena_);
    Send(model_, length);
    std::fflush(to_);
    return Tensors(inputs_) && Tensors(outputs_) ? kTfLiteOk : kTfLiteError;
  }

  TfLiteTensor* input(int index) { return &inputs_.at(index); }
  TfLiteTensor* output(int index) { return &outputs_.at(index); }

  TfLiteStatus Invoke() {
    for (auto& tensor : inputs_) {
      Send(tensor.data.raw, tensor.bytes);
      // The real one may put other tensors there: whoever relies on old inputs reads NaN.
      std::memset(tensor.data.raw, 0xff, tensor.bytes);
    }
    std::fflush(to_);
    for (auto& tensor : outputs_) {
      if (std::fread(tensor.data.raw, 1, tensor.bytes, from_) != tensor.bytes) return kTfLiteError;
    }
    return kTfLiteOk;
  }

 private:
  void Send(const void* from, size_t bytes) { std::fwrite(from, 1, bytes, to_); }

  bool Tensors(std::vector<TfLiteTensor>& tensors) {
    uint64_t count, bytes;
    if (std::fread(&count, sizeof count, 1, from_) != 1) return false;
    for (; count > 0; --count) {
      if (std::fread(&bytes, sizeof bytes, 1, from_) != 1) return false;
      TfLiteTensor tensor;
      tensor.bytes = bytes;
      tensor.data.raw = std::calloc(1, bytes);
      tensors.push_back(tensor);
    }
    return true;
  }

  const Model* model_;
  uint64_t arena_;
  bool complete_;
  FILE* to_ = nullptr;
  FILE* from_ = nullptr;
  std::vector<TfLiteTensor> inputs_, outputs_;
};

}  // namespace tflite

#endif  // RNN_DEPLOY_TFLM_STAND_IN_H_
