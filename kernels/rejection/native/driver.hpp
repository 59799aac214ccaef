// Samples, or the envelopes alone, of many observations on all threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "rejection/native/entry_points.hpp"

namespace fastinv {

// What the driver needs to know of a problem. first_level: most cells of an observation's first level.
struct Sampler {
  Problem problem;
  BuildEnvelope build;
  DrawSamples draw;
  std::size_t dim_y, first_level;
};

// Where in the random stream a call begins.
struct Start {
  std::uint32_t observation, slot;
};

Sampler kinematics_sampler(const double* parameters);

// log_count_prior must hold first_level values: counts 0, 1, ...
Sampler ballistics_sampler(const double* parameters, const double* log_count_prior, std::size_t first_level);

// y (batch, dim_y), x (batch, n, 4), attempts (batch, n), all C-contiguous; sample j of observation i is that of
// the random stream's slot start.slot + j of observation start.observation + i.
void sample(const Sampler& sampler, const double* y, std::size_t batch, std::size_t n, const Start& start,
            std::uint32_t key0, std::uint32_t key1, double* x, std::int64_t* attempts);

template <class T>
struct Column {
  std::unique_ptr<T[]> data;
  std::size_t size = 0;
};

// The cells of every observation one after the other, for a device that draws from them; those of observation i are
// [offsets[i], offsets[i + 1]). Five numbers a cell: origin and width along both axes, log-bound.
struct EnvelopeTable {
  Column<double> cells;
  Column<std::int32_t> tags;
  Column<std::uint32_t> last;
  Column<std::int64_t> offsets;
};

EnvelopeTable envelopes(const Sampler& sampler, const double* y, std::size_t batch);

}  // namespace fastinv
