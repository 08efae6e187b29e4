"""The fixed parts of a C++ program."""

# Names that C++ and the program itself use.
_WORDS = """
alignas alignof and asm auto bitand bitor bool break case catch char class compl concept const
consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default
delete do double dynamic_cast else enum explicit export extern false float for friend goto if
inline int long mutable namespace new noexcept not nullptr operator or private protected public
register reinterpret_cast requires return short signed sizeof static static_assert static_cast
struct switch template this thread_local throw true try typedef typeid typename union unsigned
using virtual void volatile wchar_t while xor step predict reset out inputs input_names
output_names std Ort shape kind data count env_ session_ memory_
"""
KEYWORDS = tuple(_WORDS.split())
STEP = "One step or more, of `batch` sequences side by side. The states stay in the object."
PREDICT = "Whole sequences."

HEADER = """\
// @MODEL@ on ONNX Runtime.
//
@TENSORS@
#pragma once

#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

class Model {
public:
    struct Result {
@RESULT@
    };

    explicit Model(int64_t batch = 1, const ORTCHAR_T* file = ORT_TSTR(@FILE@))
        : session_(env_, file, Ort::SessionOptions{}) {
        reset(batch);
    }

    void reset(int64_t new_batch = 1) {
        batch = new_batch;
@RESET@
    }

    // @WHAT@
    Result @CALL@(@ARGUMENTS@) {
        std::array<Ort::Value, @INPUT_COUNT@> inputs{
@FED@};
        const char* input_names[] = {@INPUT_NAMES@};
        const char* output_names[] = {@OUTPUT_NAMES@};
        auto out = session_.Run(Ort::RunOptions{nullptr}, input_names, inputs.data(),
                                @INPUT_COUNT@, output_names, @OUTPUT_COUNT@);
@MOVED@        return {@VALUES@};
    }

    // The states. Copy them to save them, and assign them to resume.
    int64_t batch = 1;
@STATES@

private:
    template <class T>
    Ort::Value tensor(std::vector<T>& data, const std::vector<int64_t>& shape,
                      ONNXTensorElementDataType kind) {
        int64_t count = 1;
        for (int64_t size : shape) count *= size;
        if (count != static_cast<int64_t>(data.size()))
            throw std::invalid_argument("expected " + std::to_string(count) + " values, got " +
                                        std::to_string(data.size()));
        return Ort::Value::CreateTensor(memory_, data.data(), data.size() * sizeof(T),
                                        shape.data(), shape.size(), kind);
    }

    template <class T>
    static std::vector<T> values(Ort::Value& value) {
        const T* first = value.GetTensorMutableData<T>();
        return {first, first + value.GetTensorTypeAndShapeInfo().GetElementCount()};
    }

    Ort::Env env_{ORT_LOGGING_LEVEL_WARNING, "model"};
    Ort::Session session_;
    Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
};
"""


def without_states(header: str) -> str:
    """Return the header of a model that runs whole sequences."""
    begin, end = header.index("    explicit Model("), header.index("    // @WHAT@")
    constructor = """\
    explicit Model(const ORTCHAR_T* file = ORT_TSTR(@FILE@))
        : session_(env_, file, Ort::SessionOptions{}) {}

"""
    header = header[:begin] + constructor + header[end:]
    begin, end = header.index("    // The states. Copy"), header.index("private:")
    return header[:begin] + header[end:]


EXAMPLE_STREAM = """\
// How to call the model: five steps, of zeros in place of your data.
#include <iostream>

#include "model.hpp"

int main() {
    try {
        Model model;
        for (int t = 0; t < 5; t++) {
            auto result = @CALL@;
            std::cout << t;
            for (auto value : result.@FIRST@) std::cout << " " << +value;
            std::cout << "\\n";
        }
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\\n";
        return 1;
    }
}
"""
EXAMPLE_WHOLE = """\
// How to call the model: one sequence, of zeros in place of your data.
#include <iostream>

#include "model.hpp"

int main() {
    try {
        Model model;
        auto result = @CALL@;
        for (auto value : result.@FIRST@) std::cout << +value << "\\n";
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\\n";
        return 1;
    }
}
"""
CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project(starter LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)

# An unpacked release of ONNX Runtime: cmake -DONNXRUNTIME_ROOT=/path/to/onnxruntime
set(ONNXRUNTIME_ROOT "" CACHE PATH "an unpacked release of ONNX Runtime")
find_path(ONNXRUNTIME_INCLUDE onnxruntime_cxx_api.h REQUIRED
          HINTS ${ONNXRUNTIME_ROOT}/include
          PATH_SUFFIXES onnxruntime onnxruntime/core/session)
find_library(ONNXRUNTIME_LIBRARY onnxruntime REQUIRED HINTS ${ONNXRUNTIME_ROOT}/lib)

foreach(program example selftest)
    add_executable(${program} ${program}.cpp)
    target_include_directories(${program} PRIVATE ${ONNXRUNTIME_INCLUDE})
    target_link_libraries(${program} PRIVATE ${ONNXRUNTIME_LIBRARY})
endforeach()
"""
README = """\
# @MODEL@ in C++

You need a C++17 compiler, and ONNX Runtime 1.12 or newer: its headers and its library.

```sh
cmake -S . -B build -DONNXRUNTIME_ROOT=/path/to/onnxruntime
cmake --build build
./build/selftest     # in this folder; proves the model on this machine
./build/example
```

| file | what it is |
|---|---|
| model.hpp | the class `Model`: copy it, with the model file, into your program |
| example.cpp | how to call it |
| selftest.cpp, golden.bin | golden vectors with their budgets; not part of your program |

A call throws `Ort::Exception` or `std::invalid_argument`. One `Model` serves one thread at a
time.@PREPARATION@
"""
