#include "rejection/native/ballistics.hpp"

#include "rejection/native/entry_points.hpp"

namespace fastinv {
namespace FASTINV_ISA {

Ballistics::Ballistics(double y, const double* parameters, const double* log_count_prior)
    : y_(y),
      drag_(parameters[1]),
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

Ballistics::Flight Ballistics::throw_from(F64 x2, F64 sin_x3, F64 x4) const {
  const double b = weight_;
  const F64 a = b + drag_ * x4 * sin_x3, c = a + x2 * (drag_ / time_scale_);
  Flight f{a, c, c / b, F64{}, x2 >= 0.0};
  if (any(~f.lands)) {
    const F64 lowest = log(a / b);
    f.lands |= a * exp(-lowest) + b * lowest <= c;
    f.time = f.lands ? f.time : lowest + 1.0;
  }
  return f;
}

// The rightmost root of a convex function: Newton's iteration from s = C / B falls onto it monotonically. One step of
// several flights at a time, so that their latencies overlap. Leaves decay = A exp(-s).
void Ballistics::solve(Flight* flights, int count) const {
  const double b = weight_;
  I64 moving[kGroups];
  for (int i = 0; i < count; ++i) moving[i] = flights[i].lands;
  bool running = true;
  for (int step = 0; step < kNewtonSteps && running; ++step) {
    running = false;
    for (int i = 0; i < count; ++i) {
      Flight& f = flights[i];
      if (step > 0 && !any(moving[i])) continue;
      f.decay = f.a * exp(-f.time);
      // A throw that grazes the ground has a double root, where the slope vanishes with the residual.
      const F64 change = (f.decay + b * f.time - f.c) / max(b - f.decay, splat(kTiny));
      moving[i] &= change > 4.0 * kEpsilon * abs(f.time);
      f.time -= keep(moving[i], change);
      running |= any(moving[i]);
    }
  }
  for (int i = 0; i < count; ++i) flights[i].lands &= flights[i].time >= 0.0;
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
  Flight flights[] = {throw_from(high2, high3.sin, x4), throw_from(box.c, low3.sin, x4)};
  solve(flights, 2);
  const Flight &far = flights[0], &near = flights[1];
  // h = x4 cos(x3) (m / k) (1 - exp(-s)): s is largest in one corner, the cosine in another.
  const F64 speed = x4 * time_scale_;
  const F64 longest = speed * low3.cos * (1.0 - far.decay / far.a);
  const F64 to_apex = speed * high3.cos * (1.0 - weight_ / (weight_ + drag_ * x4 * low3.sin));
  const F64 shortest = near.lands ? speed * high3.cos * (1.0 - near.decay / near.a) : to_apex;
  const F64 x1 = least_magnitude({y_ - longest, y_ - shortest});
  const F64 x2 = least_magnitude({box.c - x2_mean_, high2 - x2_mean_});
  return far.lands ? log_prior(x1, x2, count) : splat(-__builtin_inf());
}

void Ballistics::place(Block& b, int groups) const {
  Flight flights[kGroups];
  F64 cosine[kGroups];
  for (int g = 0; g < groups; ++g) {
    const Box& box = b.box[g];
    b.point[g][1] = box.c + box.dc * b.u[g];
    b.point[g][2] = box.t + box.dt * b.v[g];
    b.point[g][3] = to_double(b.tag[g]);
    const SinCos at_x3 = sincos(b.point[g][2]);
    cosine[g] = at_x3.cos;
    flights[g] = throw_from(b.point[g][1], at_x3.sin, b.point[g][3]);
  }
  solve(flights, groups);
  for (int g = 0; g < groups; ++g) {
    const Flight& f = flights[g];
    const F64 x1 = y_ - b.point[g][3] * cosine[g] * time_scale_ * (1.0 - f.decay / f.a);
    b.point[g][0] = x1;
    b.log_density[g] =
        f.lands ? log_prior(x1, b.point[g][1] - x2_mean_, b.tag[g]) : splat(-__builtin_inf());
  }
}

void build_ballistics(const Problem& problem, const double* y, Envelope& e) {
  build(Ballistics(*y, problem.parameters, problem.log_count_prior), e);
}

void draw_ballistics(const Problem& problem, const double* y, const Envelope& e, const Draw& d) {
  draw(Ballistics(*y, problem.parameters, problem.log_count_prior), e, d);
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
