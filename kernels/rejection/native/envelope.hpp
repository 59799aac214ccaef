// Envelopes over cells, for any target; the definition is ../envelope.py.
//
// A Target offers
//   kSingular             the tag bit that only the quarter at a cell's origin inherits
//   first_level(cells)    writes the cells of the first level with their tags, returns their number
//   log_bound(box, tag)   upper bounds on cells of the log-density
// and what rejection.hpp asks for.
#pragma once

#include "rejection/native/elementary.hpp"
#include "rejection/native/sampler.hpp"

namespace fastinv {
namespace FASTINV_ISA {

constexpr int kWidth = kLanes<double>;
constexpr double kTotalWeight = 0x1p32, kRoundingSlack = 1e-12;
// Masses are relative to a common factor, which is renewed before they underflow.
constexpr double kLeastTotal = 1e-20;

struct Box {
  F64 c, dc, t, dt;
};

// Cells [i, i + kWidth) field by field; lanes beyond `end` repeat the last cell.
struct CellLanes {
  Box box;
  F64 log_bound, mass;
  I64 tag;
};

FASTINV_INLINE CellLanes load_cells(const Cell* cells, std::size_t i, std::size_t end) {
  CellLanes r;
  for (int lane = 0; lane < kWidth; ++lane) {
    const Cell& cell = cells[i + lane < end ? i + lane : end - 1];
    r.box.c[lane] = cell.c, r.box.dc[lane] = cell.dc, r.box.t[lane] = cell.t, r.box.dt[lane] = cell.dt;
    r.log_bound[lane] = cell.log_bound, r.mass[lane] = cell.mass, r.tag[lane] = cell.tag;
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

// Drops empty cells, rounds masses up to integer weights and raises the bounds to match; no cells where that fails.
inline void round_weights(Envelope& e, double shift) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < e.size; ++i)
    if (e.cells[i].log_bound > -__builtin_inf()) e.cells[kept++] = e.cells[i];
  e.size = kept;
  const double total = total_mass(e.cells, kept), available = kTotalWeight - static_cast<double>(kept);
  if (!(total > 0.0 && total < __builtin_inf())) {
    e.size = 0;
    return;
  }
  for (std::size_t i = 0; i < kept; i += kWidth) {
    const F64 mass = load_cells(e.cells, i, kept).mass;
    store_field<&Cell::mass>(e.cells, i, kept, max(ceil(mass / total * available), splat(1.0)));
  }
  std::int64_t used = 0;
  for (std::size_t i = 0; i + 1 < kept; ++i) {
    used += static_cast<std::int64_t>(e.cells[i].mass);
    e.last[i] = static_cast<std::uint32_t>(used - 1);
  }
  e.last[kept - 1] = UINT32_MAX;
  e.cells[kept - 1].mass = kTotalWeight - static_cast<double>(used);
  const double log_scale = shift + log(splat(total / available))[0] + kRoundingSlack;
  for (std::size_t i = 0; i < kept; i += kWidth) {
    const CellLanes lanes = load_cells(e.cells, i, kept);
    store_field<&Cell::log_bound>(e.cells, i, kept, log_scale + log(lanes.mass / area(lanes.box)));
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
  if (e.size > 0) fill_guide(e);
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
