#include "rejection/native/kinematics.hpp"

#include "rejection/native/entry_points.hpp"

namespace fastinv {
namespace FASTINV_ISA {

// The cells' origins are corners in which the density may be singular.
std::size_t Kinematics::first_level(Cell* cells) const {
  const double difference = long_ - short_, sum = l1_ + l2_;
  const F64 rho[] = {splat(-sum), splat(-difference), splat(difference), splat(sum)};
  double border[4];
  for (int i = 0; i < 4; ++i) {
    // An end that is missed by rounding alone would leave a regime of width 1e-8, all of it nearly singular.
    const F64 cosine = (y2_ - rho[i]) / l3_;
    const F64 snapped = abs(cosine) > 1.0 - kSnap ? (cosine > 0.0 ? splat(1.0) : splat(-1.0)) : cosine;
    border[i] = acos(snapped)[0];
  }
  const std::int64_t regimes[] = {kFar, kSwing, kNear};
  std::size_t size = 0;
  for (int i = 0; i < 3; ++i) {
    const bool only_point = border[0] == border[3] && regimes[i] == (y2_ > 0.0 ? kNear : kFar);
    if (border[i + 1] > border[i] || only_point)
      size += regime_cells(regimes[i], border[i], border[i + 1], cells + size);
  }
  mark_singular(cells, size);
  return size;
}

std::size_t Kinematics::regime_cells(std::int64_t regime, double low, double high, Cell* cells) const {
  const double width = (high - low) / kOuterCells, step = kTwoPi / kAngleCells;
  // In the swing regime a second round of t stands for the other sign of the solved angle.
  const int angle_cells = regime == kSwing ? 2 * kAngleCells : kAngleCells;
  Cell* cell = cells;
  for (int sign = -1; sign <= 1; sign += 2) {
    for (int i = 0; i < kOuterCells; ++i) {
      const bool backward = regime == kFar || (regime == kSwing && 2 * i >= kOuterCells);
      for (int j = 0; j < angle_cells; ++j, ++cell) {
        cell->c = sign * (low + (backward ? i + 1 : i) * width);
        cell->dc = backward ? -sign * width : sign * width;
        cell->t = j % 2 == 0 ? j * step : (j + 1) * step;
        cell->dt = j % 2 == 0 ? step : -step;
        cell->tag = regime;
      }
    }
  }
  return static_cast<std::size_t>(cell - cells);
}

void Kinematics::mark_singular(Cell* cells, std::size_t size) const {
  for (std::size_t i = 0; i < size; i += kWidth) {
    const CellLanes lanes = load_cells(cells, i, size);
    const Ranges r = ranges(lanes.box, lanes.tag);
    const F64 least = min(r.factors[0], r.factors[1]);
    for (int lane = 0; lane < kWidth && i + lane < size; ++lane)
      if (least[lane] < kSingularBelow) cells[i + lane].tag |= kSingular;
  }
}

FASTINV_INLINE Kinematics::Ranges Kinematics::ranges(const Box& box, I64 regime) const {
  const F64 c1 = box.c + box.dc, t1 = box.t + box.dt;
  const Interval c{min(box.c, c1), max(box.c, c1)}, t{min(box.t, t1), max(box.t, t1)};
  const Interval cos_c = wave_range(c, sincos(c.low).cos, sincos(c.high).cos, 0.0);
  const SinCos low = sincos(t.low), high = sincos(t.high);
  const Interval cos_t = wave_range(t, low.cos, high.cos, 0.0), sin_t = wave_range(t, low.sin, high.sin, kHalfPi);
  const Interval rho{y2_ - l3_ * cos_c.high, y2_ - l3_ * cos_c.low};

  const I64 far = regime == kFar;
  const F64 q_low = max(l1_ + l2_ - (far ? -rho.low : rho.high), F64{});
  const F64 q_high = max(l1_ + l2_ - (far ? -rho.high : rho.low), F64{});
  const Interval radius{sqrt(q_low), sqrt(q_high)};
  const Link first = circle_link(l1_, radius, cos_t, far), second = circle_link(l2_, radius, sin_t, far);
  Ranges r{first.angle, second.angle, c, {first.factor, second.factor}, q_low};
  const I64 swing = regime == kSwing;
  if (any(swing)) swing_ranges(swing, rho, t, cos_t, r);
  return r;
}

// A link's angle on the circle, and its factor 2 length - (radius * direction)^2 of the measure from below.
FASTINV_INLINE Kinematics::Link Kinematics::circle_link(double length, Interval radius, Interval direction, I64 far) const {
  const Interval reach = scaled_range(radius, direction);
  const double scale = 1.0 / __builtin_sqrt(2.0 * length);
  const Interval sine{clamp(reach.low * scale, -1.0, 1.0), clamp(reach.high * scale, -1.0, 1.0)};
  const F64 centre = far ? splat(kPi) : F64{};
  const F64 largest_square = max(sine.low * sine.low, sine.high * sine.high);
  return {{2.0 * asin(sine.low) + centre, 2.0 * asin(sine.high) + centre}, 2.0 * length * (1.0 - largest_square)};
}

// Overwrites lanes in which the shorter link turns all the way round: t is its angle, the longer link is solved.
void Kinematics::swing_ranges(I64 swing, Interval rho, Interval t, Interval cos_t, Ranges& r) const {
  const Interval u{clamp((rho.low - short_ * cos_t.high) / long_, -1.0, 1.0),
                   clamp((rho.high - short_ * cos_t.low) / long_, -1.0, 1.0)};
  const Interval arc{acos(u.high), acos(u.low)};
  const I64 first_round = t.high <= kTwoPi + 1e-9;
  const Interval solved = select(first_round, arc, {-arc.high, -arc.low});
  r.a = select(swing, l1_ > l2_ ? solved : t, r.a);
  r.b = select(swing, l1_ > l2_ ? t : solved, r.b);
  r.factors[0] = swing ? long_ * (1.0 - u.high) : r.factors[0];
  r.factors[1] = swing ? long_ * (1.0 + u.low) : r.factors[1];
  r.strength = swing ? splat(0.5 * short_) : r.strength;
}

F64 Kinematics::log_bound(const Box& box, I64 tag) const {
  const I64 regime = tag & 3, singular = (tag & kSingular) != 0;
  const Ranges r = ranges(box, regime);
  // The bound of the root of 1 / (first * second); in a singular cell that of 4 u v / sqrt(least), where u v cancels.
  const F64 area = abs(box.dc * box.dt);
  const F64 root = sqrt(2.0 * l3_ * max(r.strength, splat(1e-300))) * area * (1.0 / (kTwoPi * kTwoPi));
  const F64 least = min(r.factors[0], r.factors[1]), most = max(r.factors[0], r.factors[1]);
  F64 bound = -0.5 * log((singular ? root : least) * most);
  bound += regime == kSwing ? F64{} : splat(0.6931471805599453);
  const Interval sines[] = {sin_range(r.a), sin_range(r.b), sin_range(r.c)};
  const F64 low = l1_ * sines[0].low + l2_ * sines[1].low + l3_ * sines[2].low;
  const F64 high = l1_ * sines[0].high + l2_ * sines[1].high + l3_ * sines[2].high;
  return bound + log_prior(least_magnitude({y1_ - high, y1_ - low}), least_wrapped(r.a), least_wrapped(r.b - r.a),
                           least_wrapped(r.c - r.b));
}

// Log prior of |x| with wrapped joint angles, up to a constant.
FASTINV_INLINE F64 Kinematics::log_prior(F64 x1, F64 x2, F64 x3, F64 x4) const {
  const F64 joints[] = {abs(x2), abs(x3), abs(x4)};
  F64 result = -scale_[0] * (x1 * x1), images = splat(1.0);
  for (int k = 1; k < 4; ++k) {
    const F64 x = joints[k - 1];
    result -= scale_[k] * (x * x);
    F64 joint_images = splat(1.0);
    for (int turn = 1; turn <= 1 + static_cast<int>(sigma_[k]); ++turn) {
      const double distance = kTwoPi * turn;
      const F64 towards = -scale_[k] * distance * (distance - 2.0 * x);
      if (any(towards > kNegligible))
        joint_images += exp(towards) + exp(-scale_[k] * distance * (distance + 2.0 * x));
    }
    images *= joint_images;
  }
  return any(images > 1.0) ? result + log(images) : result;
}

void Kinematics::place(Block& b, int groups) const {
  for (int g = 0; g < groups; ++g) {
    const I64 singular = (b.tag[g] & kSingular) != 0, regime = b.tag[g] & 3;
    const Box& box = b.box[g];
    const F64 u = b.u[g], v = b.v[g];
    const F64 c = box.c + box.dc * (singular ? u * u : u), t = box.t + box.dt * (singular ? v * v : v);
    const SinCos at_c = sincos(c);
    const F64 rho = y2_ - l3_ * at_c.cos;
    Curve curve = circle_point(rho, t, regime == kFar);
    const I64 swing = regime == kSwing;
    if (any(swing)) swing_point(swing, rho, t, curve);
    const F64 x1 = y1_ - (curve.weighted_sines + l3_ * at_c.sin);
    const F64 jacobian = singular ? 4.0 * u * v : splat(1.0);
    const F64 log_measure = -0.5 * log(curve.inverse_square / (jacobian * jacobian));
    b.log_density[g] = log_measure + log_prior(x1, wrap(curve.a), wrap(curve.b - curve.a), wrap(c - curve.b));
    // The rail's position is solved last; see finish().
    b.point[g][1] = curve.a, b.point[g][2] = curve.b, b.point[g][3] = c;
  }
}

// The point of the curve l1 cos a + l2 cos b = rho at t on the circle.
FASTINV_INLINE Kinematics::Curve Kinematics::circle_point(F64 rho, F64 t, I64 far) const {
  const SinCos at_t = sincos(t);
  const F64 q = max(l1_ + l2_ - (far ? -rho : rho), F64{});
  const F64 half_a = clamp(sqrt(q / (2.0 * l1_)) * at_t.cos, -1.0, 1.0);
  const F64 half_b = clamp(sqrt(q / (2.0 * l2_)) * at_t.sin, -1.0, 1.0);
  const F64 rest_a = 1.0 - half_a * half_a, rest_b = 1.0 - half_b * half_b;
  // sin(2 asin(s)) = 2 s sqrt(1 - s^2).
  const F64 sines = 2.0 * (l1_ * half_a * sqrt(rest_a) + l2_ * half_b * sqrt(rest_b));
  const F64 centre = far ? splat(kPi) : F64{};
  return {2.0 * asin(half_a) + centre, 2.0 * asin(half_b) + centre, far ? -sines : sines,
          l1_ * rest_a * (l2_ * rest_b)};
}

void Kinematics::swing_point(I64 swing, F64 rho, F64 t, Curve& curve) const {
  const SinCos at_t = sincos(t);
  const F64 u = clamp((rho - short_ * at_t.cos) / long_, -1.0, 1.0);
  const F64 rest = (1.0 - u) * (1.0 + u), arc = acos(u);
  const I64 first_round = t < kTwoPi;
  const F64 solved = first_round ? arc : -arc, sine = sqrt(rest);
  curve.a = swing ? (l1_ > l2_ ? solved : t) : curve.a;
  curve.b = swing ? (l1_ > l2_ ? t : solved) : curve.b;
  curve.weighted_sines =
      swing ? short_ * at_t.sin + long_ * (first_round ? sine : -sine) : curve.weighted_sines;
  curve.inverse_square = swing ? rest * (long_ * long_) : curve.inverse_square;
}

// Absolute angles a, b, c become samples: joint angles, full turns, and the rail position solved last, from the angles
// as returned, so that the vertical residual is a rounding error.
void Kinematics::finish(const Draw& d) const {
  for (std::size_t slot = d.begin; slot < d.end; slot += kWidth) {
    F64 point[4] = {};
    for (int lane = 0; lane < kWidth; ++lane)
      for (int k = 1; k < 4; ++k) point[k][lane] = d.x[4 * (slot + lane < d.end ? slot + lane : d.end - 1) + k];
    F64 x[4] = {F64{}, wrap(point[1]), wrap(point[2] - point[1]), wrap(point[3] - point[2])};
    add_turns(d, slot, x);
    const F64 b = x[1] + x[2], c = b + x[3];
    x[0] = y1_ - (l1_ * sincos(x[1]).sin + l2_ * sincos(b).sin + l3_ * sincos(c).sin);
    for (int lane = 0; lane < kWidth && slot + lane < d.end; ++lane)
      for (int k = 0; k < 4; ++k) d.x[4 * (slot + lane) + k] = x[k][lane];
  }
}

// Adds full turns to joint angles in [-pi, pi], drawn from the prior given the angle modulo 2 pi.
void Kinematics::add_turns(const Draw& d, std::size_t slot, F64 (&x)[4]) const {
  I64 likely{};
  for (int k = 1; k < 4; ++k) likely |= -scale_[k] * kTwoPi * (kTwoPi - 2.0 * abs(x[k])) > kNegligible;
  if (!any(likely)) return;
  U64 slots = U64{} + (d.first_slot + slot);
  for (int lane = 0; lane < kWidth; ++lane) slots[lane] += static_cast<std::uint64_t>(lane);
  const Words w = philox({U64{}, slots, U64{} + d.observation, U64{} + kPosteriorTurns}, d.key0, d.key1);
  const F64 uniforms[] = {uniform(w.w0), uniform(w.w1), uniform(w.w2)};
  for (int k = 1; k < 4; ++k)
    for (int lane = 0; lane < kWidth; ++lane)
      if (likely[lane] != 0) x[k][lane] += kTwoPi * turns(x[k][lane], k, uniforms[k - 1][lane]);
}

double Kinematics::turns(double x, int joint, double uniform) const {
  const int most = 1 + static_cast<int>(sigma_[joint]);
  const double scale = scale_[joint];
  const auto share = [&](int turn) {
    const double image = x + kTwoPi * turn;
    return __builtin_exp(-scale * (image * image - x * x));
  };
  double total = 1.0;
  for (int i = 1; i <= most; ++i) total += share(-i) + share(i);
  // Zero first, then outwards: nearly every draw ends at the first comparison.
  double cumulative = 1.0;
  if (uniform * total <= cumulative) return 0.0;
  for (int i = 1; i <= most; ++i)
    for (int sign = -1; sign <= 1; sign += 2)
      if (uniform * total <= (cumulative += share(sign * i))) return sign * i;
  return most;
}

void build_kinematics(const Problem& problem, const double* y, Envelope& e) {
  build(Kinematics(y, problem.parameters), e);
}

void draw_kinematics(const Problem& problem, const double* y, const Envelope& e, const Draw& d) {
  draw(Kinematics(y, problem.parameters), e, d);
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
