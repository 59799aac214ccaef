#include "rejection/native/ballistics.hpp"

#include "rejection/native/entry_points.hpp"

namespace fastinv {
namespace FASTINV_ISA {

Ballistics::Ballistics(double y, const double* parameters, const double* log_count_prior)
    : y_(y),
      drag_(parameters[1]),
      mass_(parameters[2]),
      x1_sigma_(parameters[3]),
      x2_mean_(parameters[4]),
      x2_sigma_(parameters[5]),
      angle_min_(parameters[6]),
      angle_max_(parameters[7]),
      weight_(parameters[0] * parameters[2]),
      time_scale_(parameters[2] / parameters[1]),
      log_count_prior_(log_count_prior) {}

std::size_t Ballistics::first_level(Cell* cells) const {
  const std::size_t size = count_cells(y_);
  const double half = kHeightSigmas * x2_sigma_;
  for (std::size_t i = 0; i < size; ++i)
    cells[i] = {x2_mean_ - half, 2.0 * half, angle_min_, angle_max_ - angle_min_, 0.0, 0.0,
                static_cast<std::int64_t>(i)};
  return size;
}

// Horizontal distance from the start to the impact. The impact time s (in units of m / k) is the rightmost root of
// A exp(-s) + B s = C: Newton's iteration from s = C / B falls onto it monotonically.
Ballistics::Reach Ballistics::reach(F64 x2, SinCos at_x3, F64 x4) const {
  const double b = weight_;
  const F64 a = b + drag_ * x4 * at_x3.sin, c = a + x2 * (drag_ / time_scale_);
  I64 lands = x2 >= 0.0;
  F64 time = c / b;
  if (any(~lands)) {
    const F64 lowest = log(a / b);
    lands |= a * exp(-lowest) + b * lowest <= c;
    time = lands ? time : lowest + 1.0;
  }
  I64 moving = lands;
  for (int step = 0; step < kNewtonSteps && any(moving); ++step) {
    const F64 decay = a * exp(-time);
    // A throw that grazes the ground has a double root, where the slope vanishes with the residual.
    const F64 change = (decay + b * time - c) / max(b - decay, splat(kTiny));
    moving &= change > 4.0 * kEpsilon * abs(time);
    time -= keep(moving, change);
  }
  return {x4 * at_x3.cos * time_scale_ * (1.0 - exp(-time)), lands & (time >= 0.0)};
}

F64 Ballistics::log_prior(F64 x1, F64 x2_distance, I64 count) const {
  F64 log_count;
  for (int lane = 0; lane < kWidth; ++lane) log_count[lane] = log_count_prior_[count[lane]];
  const F64 z1 = x1 / x1_sigma_, z2 = x2_distance / x2_sigma_;
  return log_count - 0.5 * (z1 * z1 + z2 * z2);
}

FASTINV_INLINE F64 to_double(I64 count) { return __builtin_convertvector(count, F64); }

F64 Ballistics::log_bound(const Box& box, I64 count) const {
  const F64 high2 = box.c + box.dc, x4 = to_double(count);
  const SinCos low3 = sincos(box.t), high3 = sincos(box.t + box.dt);
  // h = x4 cos(x3) (m / k) (1 - exp(-s)): s is largest in one corner, the cosine in another.
  const Reach far = reach(high2, high3, x4), near = reach(box.c, low3, x4);
  const F64 longest = far.distance * (low3.cos / high3.cos);
  const F64 to_apex = x4 * high3.cos * time_scale_ * (1.0 - weight_ / (weight_ + drag_ * x4 * low3.sin));
  const F64 shortest = near.lands ? near.distance * (high3.cos / low3.cos) : to_apex;
  const F64 x1 = least_magnitude({y_ - longest, y_ - shortest});
  const F64 x2 = least_magnitude({box.c - x2_mean_, high2 - x2_mean_});
  return far.lands ? log_prior(x1, x2, count) : splat(-__builtin_inf());
}

F64 Ballistics::place(const Box& box, I64 count, F64 u, F64 v, F64 (&point)[4]) const {
  const F64 x2 = box.c + box.dc * u, x3 = box.t + box.dt * v, x4 = to_double(count);
  const Reach r = reach(x2, sincos(x3), x4);
  const F64 x1 = y_ - r.distance;
  point[0] = x1, point[1] = x2, point[2] = x3, point[3] = x4;
  return r.lands ? log_prior(x1, x2 - x2_mean_, count) : splat(-__builtin_inf());
}

void build_ballistics(const Problem& problem, const double* y, Envelope& e) {
  build(Ballistics(*y, problem.parameters, problem.log_count_prior), e);
}

void draw_ballistics(const Problem& problem, const double* y, const Envelope& e, const Draw& d) {
  draw(Ballistics(*y, problem.parameters, problem.log_count_prior), e, d);
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
