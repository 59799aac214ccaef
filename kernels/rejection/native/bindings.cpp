#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>
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

void run(const fastinv::Sampler& sampler, const Observations& y, const fastinv::Start& start, std::uint32_t key0,
         std::uint32_t key1, const Points& x, const Attempts& attempts) {
  check(y.shape(1) == sampler.dim_y, "y has the wrong number of columns");
  check(x.shape(0) == y.shape(0) && x.shape(2) == 4, "x must have shape (len(y), n, 4)");
  check(attempts.shape(0) == y.shape(0) && attempts.shape(1) == x.shape(1), "attempts must have shape (len(y), n)");
  nb::gil_scoped_release release;
  fastinv::sample(sampler, y.data(), y.shape(0), x.shape(1), start, key0, key1, x.data(), attempts.data());
}

fastinv::Sampler arm_sampler(const Parameters& parameters) {
  check(parameters.shape(0) == 7, "parameters must be three lengths and four sigmas");
  return fastinv::kinematics_sampler(parameters.data());
}

// The prior of the counts that these observations need, by the recurrence of a Poisson distribution: std::lgamma is
// not safe in threads.
std::vector<double> log_count_prior(const Observations& y, const Parameters& parameters) {
  check(parameters.shape(0) == 9, "parameters must be the nine fields of Throw");
  double farthest = 0.0;
  for (std::size_t i = 0; i < y.size(); ++i) farthest = std::max(farthest, std::abs(y.data()[i]));
  const double rate = parameters.data()[8];
  std::vector<double> table{-rate};
  for (std::size_t k = 1; k < fastinv::count_cells(farthest); ++k)
    table.push_back(table.back() + std::log(rate / static_cast<double>(k)));
  return table;
}

void sample_kinematics(Observations y, Parameters parameters, std::uint32_t first, std::uint32_t first_slot,
                       std::uint32_t key0, std::uint32_t key1, Points x, Attempts attempts) {
  run(arm_sampler(parameters), y, {first, first_slot}, key0, key1, x, attempts);
}

void sample_ballistics(Observations y, Parameters parameters, std::uint32_t first, std::uint32_t first_slot,
                       std::uint32_t key0, std::uint32_t key1, Points x, Attempts attempts) {
  const std::vector<double> prior = log_count_prior(y, parameters);
  run(fastinv::ballistics_sampler(parameters.data(), prior.data(), prior.size()), y, {first, first_slot}, key0, key1, x,
      attempts);
}

template <class T>
nb::ndarray<nb::numpy, T> to_numpy(fastinv::Column<T> column, std::initializer_list<std::size_t> shape) {
  T* data = column.data.release();
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return nb::ndarray<nb::numpy, T>(data, shape, owner);
}

// (cells (k, 5): origin and width along both axes, log-bound; tags (k,); last words (k,); offsets (batch + 1,)).
nb::tuple envelopes(const fastinv::Sampler& sampler, const Observations& y) {
  check(y.shape(1) == sampler.dim_y, "y has the wrong number of columns");
  fastinv::EnvelopeTable table;
  {
    nb::gil_scoped_release release;
    table = fastinv::envelopes(sampler, y.data(), y.shape(0));
  }
  const std::size_t k = table.tags.size, rows = table.offsets.size;
  return nb::make_tuple(to_numpy(std::move(table.cells), {k, 5}), to_numpy(std::move(table.tags), {k}),
                        to_numpy(std::move(table.last), {k}), to_numpy(std::move(table.offsets), {rows}));
}

nb::tuple kinematics_envelopes(Observations y, Parameters parameters) {
  return envelopes(arm_sampler(parameters), y);
}

nb::tuple ballistics_envelopes(Observations y, Parameters parameters) {
  const std::vector<double> prior = log_count_prior(y, parameters);
  return envelopes(fastinv::ballistics_sampler(parameters.data(), prior.data(), prior.size()), y);
}

}  // namespace

void bind_rejection(nb::module_& m) {
  using namespace nb::literals;
  m.def("sample_kinematics", &sample_kinematics, "y"_a, "parameters"_a, "first"_a, "first_slot"_a, "key0"_a, "key1"_a,
        "x"_a, "attempts"_a, "Exact posterior samples of the planar arm into x and attempts; see rejection/op.py.");
  m.def("sample_ballistics", &sample_ballistics, "y"_a, "parameters"_a, "first"_a, "first_slot"_a, "key0"_a, "key1"_a,
        "x"_a, "attempts"_a, "Exact posterior samples of the throw into x and attempts; see rejection/op.py.");
  m.def("kinematics_envelopes", &kinematics_envelopes, "y"_a, "parameters"_a,
        "Cells of the planar arm's envelopes: (cells, tags, last, offsets).");
  m.def("ballistics_envelopes", &ballistics_envelopes, "y"_a, "parameters"_a,
        "Cells of the throw's envelopes: (cells, tags, last, offsets).");
}
