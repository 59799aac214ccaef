// Runs the MMD driver on cases read from standard input, for test_mmd_neon.py: cross-compiled, without Python.
//
// A case: int64 double_precision, gaussian, problems, n, m, d, head rows, head columns, tail rows, wants: bit 0 the
// gradients, bit 1 the row sums; then double heads, tails, scales, limit, 3 weights; then x and y. The answer:
// int64 status, double means, then gradients in x and y, or double row sums.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "mmd/native/driver.hpp"
#include "native/dispatch.hpp"

namespace {

template <class T>
std::vector<T> read(std::int64_t count) {
  std::vector<T> values(count);
  if (std::fread(values.data(), sizeof(T), count, stdin) != std::size_t(count)) values.clear();
  return values;
}

template <class T>
void write(const std::vector<T>& values) {
  std::fwrite(values.data(), sizeof(T), values.size(), stdout);
}

template <class T>
void run(const std::vector<std::int64_t>& h) {
  const std::int64_t problems = h[2], n = h[3], m = h[4], d = h[5];
  const auto heads = read<double>(h[6] * h[7]), tails = read<double>(2 * h[8]), scale = read<double>(problems);
  const auto limit = read<double>(1), weights = read<double>(3);
  const auto x = read<T>(problems * n * d), y = read<T>(problems * m * d);
  std::vector<double> means(3 * problems), rows(h[9] & 2 ? problems * n : 0);
  std::vector<T> gx(h[9] & 1 ? x.size() : 0), gy(h[9] & 1 ? y.size() : 0);
  const fastinv::mmd::Request<T> request{
      {x.data(), problems, n, d, {n * d, d, 1}},
      {y.data(), problems, m, d, {m * d, d, 1}},
      {h[1] != 0, heads.data(), int(h[6]), int(h[7]), tails.data(), int(h[8])},
      scale.data(),
      limit[0],
      {weights[0], weights[1], weights[2]},
      {true, true, true},
      means.data(),
      gx.empty() ? nullptr : gx.data(),
      gy.empty() ? nullptr : gy.data(),
      rows.empty() ? nullptr : rows.data()};
  write(std::vector<std::int64_t>{std::int64_t(fastinv::mmd::evaluate(request))});
  write(means), write(gx), write(gy), write(rows);
}

}  // namespace

int main() {
  std::fprintf(stderr, "%s\n", fastinv::active_isa().c_str());
  for (;;) {
    const auto header = read<std::int64_t>(10);
    if (header.empty()) return 0;
    header[0] != 0 ? run<double>(header) : run<float>(header);
  }
}
