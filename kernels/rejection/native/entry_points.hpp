// What each instruction set exports to the driver.
#pragma once

#include "native/dispatch.hpp"
#include "rejection/native/sampler.hpp"

namespace fastinv {

// parameters: the fields of the reference's Arm or Throw, in their order. log_count_prior: the logarithm of the
// prior of each count that an envelope may cover (ballistics only).
struct Problem {
  const double* parameters;
  const double* log_count_prior;
};

using BuildEnvelope = void (*)(const Problem&, const double* y, Envelope&);
using DrawSamples = void (*)(const Problem&, const double* y, const Envelope&, const Draw&);

#define X(isa)                                                                          \
  namespace isa {                                                                       \
  void build_kinematics(const Problem&, const double* y, Envelope&);                    \
  void draw_kinematics(const Problem&, const double* y, const Envelope&, const Draw&);  \
  void build_ballistics(const Problem&, const double* y, Envelope&);                    \
  void draw_ballistics(const Problem&, const double* y, const Envelope&, const Draw&);  \
  }
FASTINV_FOR_EACH_ISA(X)
#undef X

}  // namespace fastinv
