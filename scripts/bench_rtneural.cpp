/* One step of a GRU and of an LSTM, 16 inputs: RTNeural (Eigen) beside compiled C, taking turns.

       g++ -std=c++20 -O3 -march=native -DEIGEN_STACK_ALLOCATION_LIMIT=0 -I RTNEURAL/RTNeural
           -I RTNEURAL -I RTNEURAL/modules/Eigen -I RTNEURAL/modules/json bench_rtneural.cpp -ldl
       ./a.out GRU16.so GRU64.so GRU128.so LSTM16.so LSTM64.so LSTM128.so

   RTNEURAL is a checkout of RTNeural. Each library is model.c and model_weights.c of one layer with
   `return_sequences`, compiled with -shared -fPIC. Prints the best nanoseconds of each. */
#define RTNEURAL_DEFAULT_ALIGNMENT 32
#define RTNEURAL_USE_EIGEN 1
#include <RTNeural.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <dlfcn.h>
#include <random>
#include <vector>

constexpr int WIDTH = 16, ROUNDS = 60;
using Rows = std::vector<std::vector<float>>;

static Rows numbers(int rows, int columns)
{
    static std::mt19937 engine(1);
    std::normal_distribution<float> draw(0.0f, 0.3f);
    Rows found(rows, std::vector<float>(columns));
    for (auto &row : found)
        for (auto &number : row)
            number = draw(engine);
    return found;
}

static double seconds()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename Layer> static void compare(const char *name, int units, int gates, const char *path)
{
    static Layer layer;
    static float state[65536], y[4096];
    layer.setWVals(numbers(WIDTH, gates * units));
    layer.setUVals(numbers(units, gates * units));
    if constexpr (requires { layer.setBVals(Rows{}); })
        layer.setBVals(numbers(2, gates * units));
    else
        layer.setBVals(numbers(1, gates * units)[0]);
    layer.reset();
    alignas(64) Eigen::Matrix<float, WIDTH, 1> x;
    for (int i = 0; i < WIDTH; i++)
        x[i] = (i % 7) / 3.5f - 1.0f;
    void *library = dlopen(path, RTLD_NOW);
    auto step = (int (*)(void *, const float *, float *))dlsym(library, "model_step");
    ((void (*)(void *))dlsym(library, "model_reset"))(state);
    int count = std::max(50, 4000000 / (units * units * gates));
    double theirs = 1.0, ours = 1.0;
    volatile float used = 0.0f;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = seconds();
        for (int i = 0; i < count; i++)
            layer.forward(x);
        theirs = std::min(theirs, (seconds() - begin) / count);
        used = used + layer.outs[0];
        begin = seconds();
        for (int i = 0; i < count; i++)
            step(state, x.data(), y);
        ours = std::min(ours, (seconds() - begin) / count);
    }
    std::printf("%s %d: RTNeural %.0f ns, C %.0f ns, C is %.2f times as fast\n", name, units,
                theirs * 1e9, ours * 1e9, theirs / ours);
}

int main(int, char **libraries)
{
    compare<RTNeural::GRULayerT<float, WIDTH, 16>>("GRU", 16, 3, libraries[1]);
    compare<RTNeural::GRULayerT<float, WIDTH, 64>>("GRU", 64, 3, libraries[2]);
    compare<RTNeural::GRULayerT<float, WIDTH, 128>>("GRU", 128, 3, libraries[3]);
    compare<RTNeural::LSTMLayerT<float, WIDTH, 16>>("LSTM", 16, 4, libraries[4]);
    compare<RTNeural::LSTMLayerT<float, WIDTH, 64>>("LSTM", 64, 4, libraries[5]);
    compare<RTNeural::LSTMLayerT<float, WIDTH, 128>>("LSTM", 128, 4, libraries[6]);
}
