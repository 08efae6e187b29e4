"""The fixed parts of selftest.cpp."""

_SELFTEST_HEAD = """\
// Golden vectors of the original model: outputs and states must be within their budgets.
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>

#include "model.hpp"

using Values = std::vector<double>;

static const char* const kCases[] = {
@CASES@};
static const char* const kNames[] = {@OUTPUTS@};

template <class T, class From>
std::vector<T> as(const std::vector<From>& values) {
    return {values.begin(), values.end()};
}

// Reads golden.bin: float64, little endian.
class Golden {
public:
    explicit Golden(const char* file) : stream_(file, std::ios::binary) {}

    double next() {
        unsigned char bytes[8];
        if (!stream_.read(reinterpret_cast<char*>(bytes), 8))
            throw std::runtime_error("golden.bin is missing or cut off");
        uint64_t bits = 0;
        for (int i = 0; i < 8; i++) bits |= static_cast<uint64_t>(bytes[i]) << (8 * i);
        double value;
        std::memcpy(&value, &bits, 8);
        return value;
    }

    Values list() {
        Values values(static_cast<size_t>(next()));
        for (double& value : values) value = next();
        return values;
    }

private:
    std::ifstream stream_;
};

// 1 if a value is off by more than the budget, or is NaN where the other is not.
static int differs(const std::string& title, const char* name, const Values& found,
                   const Values& wanted, double budget) {
    if (found.size() != wanted.size()) {
        std::cout << title << ": " << name << " has " << found.size() << " values, expected "
                  << wanted.size() << "\\n";
        return 1;
    }
    for (size_t i = 0; i < found.size(); i++) {
        bool same = found[i] == wanted[i] || (std::isnan(found[i]) && std::isnan(wanted[i]));
        if (!same && !(std::abs(found[i] - wanted[i]) <= budget)) {
            std::cout << title << ": " << name << "[" << i << "] is " << found[i] << ", expected "
                      << wanted[i] << " within " << budget << "\\n";
            return 1;
        }
    }
    return 0;
}
"""
_SELFTEST_END = """
static int run() {
    Golden golden("golden.bin");
    Model model;
    int failed = 0, count = 0;
    std::cout.precision(9);
    for (const char* name : kCases) {
        int64_t batch = static_cast<int64_t>(golden.next());
        std::vector<int64_t> sizes(@SIZES@);
        for (int64_t& size : sizes) size = static_cast<int64_t>(golden.next());
        std::vector<Values> feeds, truth;
        Values budgets;
        for (int i = 0; i < @INPUTS@; i++) feeds.push_back(golden.list());
        for (size_t i = 0; i < std::size(kNames); i++) {
            budgets.push_back(golden.next());
            truth.push_back(golden.list());
        }
        for (const auto& [way, call] : kWays) {
            auto found = call(model, feeds, batch, sizes);
            for (size_t i = 0; i < truth.size(); i++, count++)
                failed += differs(std::string(name) + ", " + way, kNames[i], found[i], truth[i],
                                  budgets[i]);
        }
    }
    std::cout << (failed ? "FAILED: " : "passed: ") << failed << " of " << count
              << " tensors are wrong\\n";
    return failed != 0;
}

int main() {
    try {
        return run();
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\\n";
        return 2;
    }
}
"""
SELFTEST = (
    _SELFTEST_HEAD
    + """
// Step t of values over time: (batch, steps, rest) to (batch, 1, rest).
static Values part(const Values& values, int64_t batch, int64_t steps, int64_t t) {
    int64_t rest = static_cast<int64_t>(values.size()) / (batch * steps);
    Values found;
    for (int64_t row = 0; row < batch; row++) {
        auto first = values.begin() + (row * steps + t) * rest;
        found.insert(found.end(), first, first + rest);
    }
    return found;
}

// Put the values of step t in their place; values without time are those of the last step.
static void join(Values& all, const Values& one, int64_t batch, int64_t steps, int64_t t,
                 bool timed) {
    if (!timed) {
        all = one;
        return;
    }
    int64_t rest = static_cast<int64_t>(one.size()) / batch;
    all.resize(one.size() * static_cast<size_t>(steps));
    for (int64_t row = 0; row < batch; row++)
        for (int64_t i = 0; i < rest; i++)
            all[static_cast<size_t>((row * steps + t) * rest + i)] =
                one[static_cast<size_t>(row * rest + i)];
}

static void begin(Model& model, const std::vector<Values>& feeds, int64_t batch) {
    model.reset(batch);
@STATES_IN@}

static std::vector<Values> whole(Model& model, const std::vector<Values>& feeds, int64_t batch,
                                 const std::vector<int64_t>& sizes) {
    begin(model, feeds, batch);
    auto result = model.step(@WHOLE@);
    std::vector<Values> found;
@FOUND@
@STATES_OUT@    return found;
}

static std::vector<Values> by_steps(Model& model, const std::vector<Values>& feeds, int64_t batch,
                                    const std::vector<int64_t>& sizes) {
    begin(model, feeds, batch);
    int64_t steps = sizes[@TIME@];
    std::vector<Values> found(@OUTPUT_COUNT@);
    for (int64_t t = 0; t < steps; t++) {
        auto result = model.step(@STEP@);
@JOINED@
    }
@STATES_OUT@    return found;
}

static const std::pair<const char*, decltype(&whole)> kWays[] = {
    {"whole", whole}, {"step by step", by_steps}};
"""
    + _SELFTEST_END
)
SELFTEST_WHOLE = (
    _SELFTEST_HEAD
    + """
static std::vector<Values> whole(Model& model, const std::vector<Values>& feeds, int64_t batch,
                                 const std::vector<int64_t>& sizes) {
    static_cast<void>(batch);
    static_cast<void>(sizes);
    auto result = model.predict(@WHOLE@);
    std::vector<Values> found;
@FOUND@
    return found;
}

static const std::pair<const char*, decltype(&whole)> kWays[] = {{"whole", whole}};
"""
    + _SELFTEST_END
)
