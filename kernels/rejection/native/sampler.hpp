// What the samplers' hot loops, compiled per instruction set, and their driver, compiled once, share.
// Plain data only: an inline function here could be linked from the copy for a CPU that this machine is not.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastinv {

constexpr int kMaxPasses = 24;
constexpr double kMaxShare = 1.0 / 256.0;
constexpr int kGuideBits = 11;
constexpr int kMaxAttempts = 100000;
// A pass splits fewer than 1 / kMaxShare cells, each into four.
constexpr std::size_t kMostHeavy = 256;
constexpr std::size_t kGrowth = kMaxPasses * 3 * kMostHeavy;
constexpr std::size_t kMostKinematicsCells = 384;  // of the first level

// Cells of the first level of a throw observed at y: one per count.
std::size_t count_cells(double y);

// Codes in place of a number of attempts.
constexpr std::int64_t kBoundViolated = -1, kBudgetExceeded = -2, kNoMass = -3;

// A cell of the domain: origin and signed width along both axes, what it means to its sampler, the logarithm of
// its bound, and its mass relative to a factor that all cells share.
struct Cell {
  double c, dc, t, dt, log_bound, mass;
  std::int64_t tag;
};

// The cells of one observation. `last` is the largest 32-bit word that selects a cell; `guide` holds, for the
// leading bits of a word, the first cell that it can select. Of size 0 where the bounds have no mass, or no finite one.
struct Envelope {
  Cell* cells;
  Cell* parents;  // work space of a pass, kMostHeavy
  std::uint32_t* last;
  std::uint32_t* guide;
  std::size_t size;
};

// Samples to draw: slots [begin, end) of one observation, x[4 * slot ...] and attempts[slot]. In the random stream
// they are the slots from first_slot on.
struct Draw {
  std::uint32_t key0, key1, observation, first_slot;
  std::size_t begin, end;
  double* x;
  std::int64_t* attempts;
};

}  // namespace fastinv
