// The throw as a target of envelope.hpp and rejection.hpp; formulas and names are those of ../ballistics_reference.py.
#pragma once

#include "rejection/native/intervals.hpp"
#include "rejection/native/rejection.hpp"

namespace fastinv {
namespace FASTINV_ISA {

class Ballistics {
 public:
  static constexpr std::int64_t kSingular = 0;

  Ballistics(double y, const double* parameters, const double* log_count_prior);

  std::size_t first_level(Cell* cells) const;
  F64 log_bound(const Box& box, I64 tag) const;
  void place(Block& b, int groups) const;
  void finish(const Draw&) const {}

 private:
  static constexpr double kHeightSigmas = 9.0, kEpsilon = 0x1p-52, kTiny = 0x1p-1022;
  static constexpr int kNewtonSteps = 60;

  // A exp(-s) + B s = C at the impact, s being the time in units of mass / drag.
  struct Flight {
    F64 a, c, time, decay;
    I64 lands;
  };
  Flight throw_from(F64 x2, F64 sin_x3, F64 x4) const;
  void solve(Flight* flights, int count) const;
  F64 log_prior(F64 x1, F64 x2_distance, I64 count) const;

  double y_, drag_, x1_sigma_, x2_mean_, x2_sigma_, angle_min_, angle_max_, weight_, time_scale_;
  const double* log_count_prior_;
};

}  // namespace FASTINV_ISA
}  // namespace fastinv
