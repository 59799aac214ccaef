// Envelopes over cells and rejection from them, for any target; the definition is ../envelope.py.
//
// A Target offers
//   kSingular                      the tag bit that only the quarter at a cell's origin inherits
//   first_level(cells)             writes the cells of the first level with their tags, returns their number
//   log_bound(box, tag)            upper bounds on cells of the log-density
//   place(box, tag, u, v, point)   log-density at (u, v) in (0, 1)^2 of a cell, and the point's four coordinates
//   finish(draw)                   turns the points of accepted slots into samples
#pragma once

#include "rejection/native/elementary.hpp"
#include "rejection/native/sampler.hpp"

namespace fastinv {
namespace FASTINV_ISA {

constexpr int kWidth = kLanes<double>;
constexpr double kTotalWeight = 0x1p32, kRoundingSlack = 1e-12, kBoundTolerance = 1e-6;
// Masses are relative to a common factor, which is renewed before they underflow.
constexpr double kLeastTotal = 1e-20;
constexpr std::uint32_t kPosterior = 1, kPosteriorTurns = 2;  // Purpose in fastinv/kernels/random/philox.py

struct Box {
  F64 c, dc, t, dt;
};

// Cells [i, i + kWidth) field by field; lanes beyond `end` repeat the last cell.
struct CellLanes {
  Box box;
  F64 log_bound;
  I64 tag;
};

FASTINV_INLINE CellLanes load_cells(const Cell* cells, std::size_t i, std::size_t end) {
  CellLanes r;
  for (int lane = 0; lane < kWidth; ++lane) {
    const Cell& cell = cells[i + lane < end ? i + lane : end - 1];
    r.box.c[lane] = cell.c, r.box.dc[lane] = cell.dc, r.box.t[lane] = cell.t, r.box.dt[lane] = cell.dt;
    r.log_bound[lane] = cell.log_bound, r.tag[lane] = cell.tag;
  }
  return r;
}

template <double Cell::*Field>
FASTINV_INLINE void store_field(Cell* cells, std::size_t i, std::size_t end, F64 v) {
  for (int lane = 0; lane < kWidth && i + lane < end; ++lane) cells[i + lane].*Field = v[lane];
}

// Area of cells; a width of zero (a domain that shrank to a point) counts as one.
FASTINV_INLINE F64 area(const Box& box) {
  const F64 one = splat(1.0);
  return (box.dc == 0.0 ? one : abs(box.dc)) * (box.dt == 0.0 ? one : abs(box.dt));
}

template <class Target>
void bound_cells(const Target& target, Cell* cells, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; i += kWidth) {
    const CellLanes lanes = load_cells(cells, i, end);
    store_field<&Cell::log_bound>(cells, i, end, target.log_bound(lanes.box, lanes.tag));
  }
}

inline double largest_bound(const Cell* cells, std::size_t size) {
  double top = cells[0].log_bound;
  for (std::size_t i = 1; i < size; ++i) top = cells[i].log_bound > top ? cells[i].log_bound : top;
  return top;
}

inline void weigh(Cell* cells, std::size_t begin, std::size_t end, double shift) {
  for (std::size_t i = begin; i < end; i += kWidth) {
    const CellLanes lanes = load_cells(cells, i, end);
    store_field<&Cell::mass>(cells, i, end, exp(lanes.log_bound - shift) * area(lanes.box));
  }
}

inline double total_mass(const Cell* cells, std::size_t size) {
  double total[4] = {};
  for (std::size_t i = 0; i < size; ++i) total[i % 4] += cells[i].mass;
  return (total[0] + total[1]) + (total[2] + total[3]);
}

// Replaces heavy cells by their quarters, which the caller bounds and weighs; returns the first of them.
inline std::size_t split_heavy(Envelope& e, double total, std::int64_t singular) {
  std::size_t kept = 0, heavy = 0;
  for (std::size_t i = 0; i < e.size; ++i) {
    if (e.cells[i].mass > kMaxShare * total)
      e.parents[heavy++] = e.cells[i];
    else if (kept++ != i)
      e.cells[kept - 1] = e.cells[i];
  }
  Cell* child = e.cells + kept;
  for (int quarter = 0; quarter < 4; ++quarter) {
    for (std::size_t h = 0; h < heavy; ++h, ++child) {
      *child = e.parents[h];
      child->dc *= 0.5;
      child->dt *= 0.5;
      if (quarter / 2 == 1) child->c += child->dc;
      if (quarter % 2 == 1) child->t += child->dt;
      if (quarter != 0) child->tag &= ~singular;
    }
  }
  e.size = kept + 4 * heavy;
  return kept;
}

// Drops empty cells, rounds masses up to integer weights and raises the bounds to match.
inline void round_weights(Envelope& e, double shift) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < e.size; ++i)
    if (e.cells[i].log_bound > -__builtin_inf()) e.cells[kept++] = e.cells[i];
  e.size = kept;
  const double total = total_mass(e.cells, kept), available = kTotalWeight - static_cast<double>(kept);
  double used = 0.0;
  for (std::size_t i = 0; i < kept; ++i) {
    const double rounded = __builtin_ceil(e.cells[i].mass / total * available);
    double weight = rounded > 1.0 ? rounded : 1.0;
    if (i + 1 == kept) weight = kTotalWeight - used;
    used += weight;
    e.last[i] = static_cast<std::uint32_t>(static_cast<std::int64_t>(used) - 1);
    e.cells[i].mass = weight;
  }
  const double log_scale = shift + log(splat(total / available))[0] + kRoundingSlack;
  for (std::size_t i = 0; i < kept; i += kWidth) {
    const CellLanes lanes = load_cells(e.cells, i, kept);
    F64 weight;
    for (int lane = 0; lane < kWidth; ++lane) weight[lane] = e.cells[i + lane < kept ? i + lane : kept - 1].mass;
    store_field<&Cell::log_bound>(e.cells, i, kept, log_scale + log(weight / area(lanes.box)));
  }
}

inline void fill_guide(Envelope& e) {
  std::uint32_t i = 0;
  for (std::uint32_t g = 0; g < 1u << kGuideBits; ++g) {
    while (e.last[i] < g << (32 - kGuideBits)) ++i;
    e.guide[g] = i;
  }
}

template <class Target>
void build(const Target& target, Envelope& e) {
  e.size = target.first_level(e.cells);
  std::size_t fresh = 0;
  double shift = 0.0;
  for (int pass = 0;; ++pass) {
    bound_cells(target, e.cells, fresh, e.size);
    if (pass == 0) shift = largest_bound(e.cells, e.size);
    weigh(e.cells, fresh, e.size, shift);
    double total = total_mass(e.cells, e.size);
    if (total < kLeastTotal) {
      shift = largest_bound(e.cells, e.size);
      weigh(e.cells, 0, e.size, shift);
      total = total_mass(e.cells, e.size);
    }
    if (pass == kMaxPasses) break;
    fresh = split_heavy(e, total, Target::kSingular);
    if (fresh == e.size) break;
  }
  round_weights(e, shift);
  fill_guide(e);
}

// Proposals of up to kBlock slots at once, field by field; a slot leaves the block when it has its sample.
constexpr int kBlock = 64;

struct Block {
  alignas(kVectorBytes) std::uint64_t slot[kBlock], attempt[kBlock], word[4][kBlock];
  alignas(kVectorBytes) double c[kBlock], dc[kBlock], t[kBlock], dt[kBlock], log_bound[kBlock];
  alignas(kVectorBytes) std::int64_t tag[kBlock], verdict[kBlock];
  alignas(kVectorBytes) double point[4][kBlock];
};

template <class V, class T>
FASTINV_INLINE V load_as(const T* p) {
  return *reinterpret_cast<const V*>(p);
}

inline void draw_words(Block& b, int lanes, const Draw& d) {
  const U64 observation = U64{} + d.observation, purpose = U64{} + kPosterior;
  for (int i = 0; i < lanes; i += kWidth) {
    const Words counter{load_as<U64>(b.attempt + i), load_as<U64>(b.slot + i), observation, purpose};
    const Words w = philox(counter, d.key0, d.key1);
    const U64 words[4] = {w.w0, w.w1, w.w2, w.w3};
    for (int k = 0; k < 4; ++k) *reinterpret_cast<U64*>(b.word[k] + i) = words[k];
  }
}

inline void pick_cells(Block& b, int lanes, const Envelope& e) {
  for (int i = 0; i < lanes; ++i) {
    const std::uint32_t word = static_cast<std::uint32_t>(b.word[0][i]);
    std::uint32_t index = e.guide[word >> (32 - kGuideBits)];
    while (e.last[index] < word) ++index;
    const Cell& cell = e.cells[index];
    b.c[i] = cell.c, b.dc[i] = cell.dc, b.t[i] = cell.t, b.dt[i] = cell.dt;
    b.log_bound[i] = cell.log_bound, b.tag[i] = cell.tag;
  }
}

// Places the proposals and sets verdict: 1 accepted, 0 rejected, kBoundViolated.
template <class Target>
void judge(Block& b, int lanes, const Target& target) {
  for (int i = 0; i < lanes; i += kWidth) {
    const Box box{load(b.c + i), load(b.dc + i), load(b.t + i), load(b.dt + i)};
    const F64 u = uniform(load_as<U64>(b.word[1] + i)), v = uniform(load_as<U64>(b.word[2] + i));
    F64 point[4];
    const F64 log_ratio = target.place(box, load_as<I64>(b.tag + i), u, v, point) - load(b.log_bound + i);
    const I64 accepted = log(uniform(load_as<U64>(b.word[3] + i))) < log_ratio;
    const I64 violated = log_ratio > kBoundTolerance;
    *reinterpret_cast<I64*>(b.verdict + i) = violated ? I64{} + kBoundViolated : accepted & 1;
    for (int k = 0; k < 4; ++k) store(b.point[k] + i, point[k]);
  }
}

// Writes the samples of slots that are done and keeps the others; returns how many those are.
inline int sieve(Block& b, int active, const Draw& d) {
  int kept = 0;
  for (int i = 0; i < active; ++i) {
    const std::uint64_t slot = b.slot[i];
    const std::int64_t attempts = static_cast<std::int64_t>(b.attempt[i]) + 1;
    // A rejected point is written too, for want of a branch; its slot's next one overwrites it.
    for (int k = 0; k < 4; ++k) d.x[4 * slot + k] = b.point[k][i];
    const bool spent = attempts == kMaxAttempts && b.verdict[i] == 0;
    d.attempts[slot] = b.verdict[i] == 1 ? attempts : spent ? kBudgetExceeded : kBoundViolated;
    b.slot[kept] = slot;
    b.attempt[kept] = static_cast<std::uint64_t>(attempts);
    kept += b.verdict[i] == 0 && !spent;
  }
  return kept;
}

template <class Target>
void draw(const Target& target, const Envelope& e, const Draw& d) {
  Block b = {};
  int active = 0;
  for (std::size_t next = d.begin;;) {
    for (; active < kBlock && next < d.end; ++active) b.slot[active] = next++, b.attempt[active] = 0;
    if (active == 0) break;
    // Whole vectors: lanes beyond `active` repeat stale proposals, which nothing reads.
    const int lanes = (active + kWidth - 1) / kWidth * kWidth;
    draw_words(b, lanes, d);
    pick_cells(b, lanes, e);
    judge(b, lanes, target);
    active = sieve(b, active, d);
  }
  target.finish(d);
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
