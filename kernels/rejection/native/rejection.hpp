// Rejection from an envelope, for any target, with one random stream per sample; the definition is ../envelope.py.
//
// A Target offers
//   place(block, groups)   sets log_density and point in groups [0, groups), at (u, v) of their cells
//   finish(draw)           turns the points of accepted slots into samples
#pragma once

#include "random/native/philox.hpp"
#include "rejection/native/envelope.hpp"

namespace fastinv {
namespace FASTINV_ISA {

constexpr double kBoundTolerance = 1e-6;
constexpr std::uint32_t kPosterior = 1, kPosteriorTurns = 2;  // Purpose in fastinv/kernels/random/philox.py

// Proposals of up to kBlock slots at once, in groups of one vector; a slot leaves when it has its sample. The block
// is long enough to hide latencies and to keep nearly all lanes busy.
constexpr int kBlock = 64, kGroups = kBlock / kWidth;

struct Block {
  U64 slot[kGroups], attempt[kGroups];
  U64 word[kGroups];  // selects the cell
  F64 u[kGroups], v[kGroups], log_uniform[kGroups];
  Box box[kGroups];
  F64 log_bound[kGroups];
  I64 tag[kGroups];
  F64 log_density[kGroups], point[kGroups][4];
  I64 verdict[kGroups];  // 1 accepted, 0 rejected, kBoundViolated
};

// Lane `lane` of a field that holds one vector per group; `Stride` vectors apart.
template <class T, int Stride = 1, class V>
FASTINV_INLINE T& lane_of(V* field, int lane) {
  return reinterpret_cast<T*>(field + lane / kWidth * Stride)[lane % kWidth];
}

inline void draw_words(Block& b, int groups, const Draw& d) {
  const U64 observation = U64{} + d.observation, purpose = U64{} + kPosterior;
  for (int g = 0; g < groups; ++g) {
    const Words w = philox({b.attempt[g], b.slot[g] + d.first_slot, observation, purpose}, d.key0, d.key1);
    b.word[g] = w.w0;
    b.u[g] = uniform(w.w1);
    b.v[g] = uniform(w.w2);
    b.log_uniform[g] = log(uniform(w.w3));
  }
}

inline void pick_cells(Block& b, int groups, const Envelope& e) {
  for (int i = 0; i < groups * kWidth; ++i) {
    const std::uint32_t word = static_cast<std::uint32_t>(lane_of<std::uint64_t>(b.word, i));
    std::uint32_t index = e.guide[word >> (32 - kGuideBits)];
    while (e.last[index] < word) ++index;
    const Cell& cell = e.cells[index];
    lane_of<double, 4>(&b.box[0].c, i) = cell.c;
    lane_of<double, 4>(&b.box[0].dc, i) = cell.dc;
    lane_of<double, 4>(&b.box[0].t, i) = cell.t;
    lane_of<double, 4>(&b.box[0].dt, i) = cell.dt;
    lane_of<double>(b.log_bound, i) = cell.log_bound;
    lane_of<std::int64_t>(b.tag, i) = cell.tag;
  }
}

inline void judge(Block& b, int groups) {
  for (int g = 0; g < groups; ++g) {
    const F64 log_ratio = b.log_density[g] - b.log_bound[g];
    const I64 accepted = (b.log_uniform[g] < log_ratio) & 1;
    b.verdict[g] = log_ratio > kBoundTolerance ? I64{} + kBoundViolated : accepted;
  }
}

// Writes the samples of slots that are done and keeps the others; returns how many those are, -1 if one is out of
// attempts.
inline int sieve(Block& b, int active, const Draw& d) {
  int kept = 0;
  for (int i = 0; i < active; ++i) {
    const std::uint64_t slot = lane_of<std::uint64_t>(b.slot, i);
    const std::int64_t attempts = static_cast<std::int64_t>(lane_of<std::uint64_t>(b.attempt, i)) + 1;
    const std::int64_t verdict = lane_of<std::int64_t>(b.verdict, i);
    // A rejected point is written too, for want of a branch; its slot's next one overwrites it.
    for (int k = 0; k < 4; ++k) d.x[4 * slot + k] = lane_of<double, 4>(&b.point[0][k], i);
    if (attempts == kMaxAttempts && verdict == 0) return -1;
    d.attempts[slot] = verdict == 1 ? attempts : kBoundViolated;
    lane_of<std::uint64_t>(b.slot, kept) = slot;
    lane_of<std::uint64_t>(b.attempt, kept) = static_cast<std::uint64_t>(attempts);
    kept += verdict == 0;
  }
  return kept;
}

template <class Target>
void draw(const Target& target, const Envelope& e, const Draw& d) {
  Block b = {};
  int active = 0;
  for (std::size_t next = d.begin;;) {
    for (; active < kBlock && next < d.end; ++active, ++next) {
      lane_of<std::uint64_t>(b.slot, active) = next;
      lane_of<std::uint64_t>(b.attempt, active) = 0;
    }
    if (active == 0) break;
    // Lanes beyond `active` repeat stale proposals, which nothing reads.
    const int groups = (active + kWidth - 1) / kWidth;
    draw_words(b, groups, d);
    pick_cells(b, groups, e);
    target.place(b, groups);
    judge(b, groups);
    active = sieve(b, active, d);
    if (active < 0) {  // the others would hardly fare better, and all of them would take very long
      for (std::size_t slot = d.begin; slot < d.end; ++slot) d.attempts[slot] = kBudgetExceeded;
      return;
    }
  }
  target.finish(d);
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
