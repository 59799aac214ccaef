// The planar arm as a target of envelope.hpp and rejection.hpp; formulas and names are those of ../kinematics_*.py.
#pragma once

#include "rejection/native/intervals.hpp"
#include "rejection/native/rejection.hpp"

namespace fastinv {
namespace FASTINV_ISA {

class Kinematics {
 public:
  static constexpr std::int64_t kSingular = 4;

  // y: vertical, horizontal. parameters: three lengths, four sigmas.
  Kinematics(const double* y, const double* parameters)
      : y1_(y[0]), y2_(y[1]), l1_(parameters[0]), l2_(parameters[1]), l3_(parameters[2]) {
    for (int k = 0; k < 4; ++k) sigma_[k] = parameters[3 + k], scale_[k] = 0.5 / (sigma_[k] * sigma_[k]);
    long_ = l1_ > l2_ ? l1_ : l2_;
    short_ = l1_ > l2_ ? l2_ : l1_;
  }

  std::size_t first_level(Cell* cells) const;
  F64 log_bound(const Box& box, I64 tag) const;
  void place(Block& b, int groups) const;
  void finish(const Draw& d) const;

 private:
  static constexpr std::int64_t kNear = 0, kSwing = 1, kFar = 2;
  static constexpr int kOuterCells = 6, kAngleCells = 8;
  static constexpr double kSingularBelow = 1e-6, kSnap = 8.0 * 0x1p-52;
  // Images of a wrapped normal with a log-weight below this do not change a float64 sum.
  static constexpr double kNegligible = -40.0;

  // What interval arithmetic says about cells; `factors` of the measure from below.
  struct Ranges {
    Interval a, b, c;
    F64 factors[2], strength;
  };
  struct Link {
    Interval angle;
    F64 factor;
  };
  // A point of the (a, b) curve: its angles, l1 sin a + l2 sin b, and the inverse square of the measure.
  struct Curve {
    F64 a, b, weighted_sines, inverse_square;
  };

  std::size_t regime_cells(std::int64_t regime, double low, double high, Cell* cells) const;
  void mark_singular(Cell* cells, std::size_t size) const;
  Ranges ranges(const Box& box, I64 regime) const;
  Link circle_link(double length, Interval radius, Interval direction, I64 far) const;
  void swing_ranges(I64 swing, Interval rho, Interval t, Interval cos_t, Ranges& r) const;
  Curve circle_point(F64 rho, F64 t, I64 far) const;
  void swing_point(I64 swing, F64 rho, F64 t, Curve& curve) const;
  F64 log_prior(F64 x1, F64 x2, F64 x3, F64 x4) const;
  double turns(double x, int joint, double uniform) const;
  void add_turns(const Draw& d, std::size_t slot, F64 (&x)[4]) const;

  double y1_, y2_, l1_, l2_, l3_, long_, short_, sigma_[4], scale_[4];
};

}  // namespace FASTINV_ISA
}  // namespace fastinv
