#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cmath>
#include <vector>

#include "rejection/native/driver.hpp"

namespace nb = nanobind;

namespace {

template <class T, int Dim>
using Array = nb::ndarray<T, nb::ndim<Dim>, nb::c_contig, nb::device::cpu>;
using Observations = Array<const double, 2>;
using Parameters = Array<const double, 1>;
using Points = Array<double, 3>;
using Attempts = Array<std::int64_t, 2>;

void check(bool ok, const char* what) {
  if (!ok) throw nb::value_error(what);
}

void run(const fastinv::Sampler& sampler, const Observations& y, std::uint32_t first, std::uint32_t key0,
         std::uint32_t key1, const Points& x, const Attempts& attempts) {
  check(y.shape(1) == sampler.dim_y, "y has the wrong number of columns");
  check(x.shape(0) == y.shape(0) && x.shape(2) == 4, "x must have shape (len(y), n, 4)");
  check(attempts.shape(0) == y.shape(0) && attempts.shape(1) == x.shape(1), "attempts must have shape (len(y), n)");
  nb::gil_scoped_release release;
  fastinv::sample(sampler, y.data(), y.shape(0), x.shape(1), first, key0, key1, x.data(), attempts.data());
}

void sample_kinematics(Observations y, Parameters parameters, std::uint32_t first, std::uint32_t key0,
                       std::uint32_t key1, Points x, Attempts attempts) {
  check(parameters.shape(0) == 7, "parameters must be three lengths and four sigmas");
  run(fastinv::kinematics_sampler(parameters.data()), y, first, key0, key1, x, attempts);
}

// The Poisson prior by its recurrence: std::lgamma is not safe in threads.
std::vector<double> log_count_prior(double rate, std::size_t size) {
  std::vector<double> table{-rate};
  for (std::size_t k = 1; k < size; ++k) table.push_back(table.back() + std::log(rate / static_cast<double>(k)));
  return table;
}

void sample_ballistics(Observations y, Parameters parameters, std::uint32_t first, std::uint32_t key0,
                       std::uint32_t key1, Points x, Attempts attempts) {
  check(parameters.shape(0) == 9, "parameters must be the nine fields of Throw");
  double farthest = 0.0;
  for (std::size_t i = 0; i < y.size(); ++i) farthest = std::max(farthest, std::abs(y.data()[i]));
  const std::vector<double> table = log_count_prior(parameters.data()[8], fastinv::count_cells(farthest));
  run(fastinv::ballistics_sampler(parameters.data(), table.data(), table.size()), y, first, key0, key1, x, attempts);
}

}  // namespace

void bind_rejection(nb::module_& m) {
  using namespace nb::literals;
  m.def("sample_kinematics", &sample_kinematics, "y"_a, "parameters"_a, "first"_a, "key0"_a, "key1"_a, "x"_a,
        "attempts"_a, "Exact posterior samples of the planar arm into x and attempts; see rejection/op.py.");
  m.def("sample_ballistics", &sample_ballistics, "y"_a, "parameters"_a, "first"_a, "key0"_a, "key1"_a, "x"_a,
        "attempts"_a, "Exact posterior samples of the throw into x and attempts; see rejection/op.py.");
}
