// The throw as a target of envelope.hpp; formulas and names are those of ../ballistics_reference.py.
#pragma once

#include "rejection/native/envelope.hpp"
#include "rejection/native/intervals.hpp"

namespace fastinv {
namespace FASTINV_ISA {

class Ballistics {
 public:
  static constexpr std::int64_t kSingular = 0;

  Ballistics(double y, const double* parameters, const double* log_count_prior);

  std::size_t first_level(Cell* cells) const;
  F64 log_bound(const Box& box, I64 tag) const;
  F64 place(const Box& box, I64 tag, F64 u, F64 v, F64 (&point)[4]) const;
  void finish(const Draw&) const {}

 private:
  static constexpr double kHeightSigmas = 9.0, kEpsilon = 0x1p-52, kTiny = 0x1p-1022;
  static constexpr int kNewtonSteps = 60;

  struct Reach {
    F64 distance;
    I64 lands;
  };
  Reach reach(F64 x2, SinCos at_x3, F64 x4) const;
  F64 log_prior(F64 x1, F64 z2, I64 count) const;

  double y_, drag_, mass_, x1_sigma_, x2_mean_, x2_sigma_, angle_min_, angle_max_, weight_, time_scale_;
  const double* log_count_prior_;
};

}  // namespace FASTINV_ISA
}  // namespace fastinv
