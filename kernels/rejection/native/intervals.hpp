// Interval arithmetic on all lanes, as in ../intervals.py.
#pragma once

#include "rejection/native/elementary.hpp"

namespace fastinv {
namespace FASTINV_ISA {

struct Interval {
  F64 low, high;
};

FASTINV_INLINE Interval select(I64 mask, Interval yes, Interval no) {
  return {mask ? yes.low : no.low, mask ? yes.high : no.high};
}

FASTINV_INLINE Interval operator-(Interval a, Interval b) { return {a.low - b.high, a.high - b.low}; }

// Whether the interval holds a number phase + 2 pi k.
FASTINV_INLINE I64 holds(Interval x, double phase) {
  return floor((x.high - phase) * (1.0 / kTwoPi)) >= ceil((x.low - phase) * (1.0 / kTwoPi));
}

// Range of a function of period 2 pi from its values at the ends; it is 1 at `top` and -1 at top + pi.
FASTINV_INLINE Interval wave_range(Interval x, F64 first, F64 second, double top) {
  const Interval ends{min(first, second), max(first, second)};
  return {holds(x, top - kPi) ? splat(-1.0) : ends.low, holds(x, top) ? splat(1.0) : ends.high};
}

FASTINV_INLINE Interval sin_range(Interval x) {
  return wave_range(x, sincos(x.low).sin, sincos(x.high).sin, kHalfPi);
}

// Range of radius * x for a radius that is nowhere negative.
FASTINV_INLINE Interval scaled_range(Interval radius, Interval x) {
  return {(x.low < 0.0 ? radius.high : radius.low) * x.low, (x.high > 0.0 ? radius.high : radius.low) * x.high};
}

// The representative of an angle in [-pi, pi].
FASTINV_INLINE F64 wrap(F64 angle) { return angle - kTwoPi * rint(angle * (1.0 / kTwoPi)); }

// Smallest |wrap(angle)| over an interval.
FASTINV_INLINE F64 least_wrapped(Interval x) {
  return holds(x, 0.0) ? F64{} : min(abs(wrap(x.low)), abs(wrap(x.high)));
}

// Smallest |x| over an interval.
FASTINV_INLINE F64 least_magnitude(Interval x) { return max(F64{}, max(x.low, -x.high)); }

}  // namespace FASTINV_ISA
}  // namespace fastinv
