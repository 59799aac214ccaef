#include "rejection/native/driver.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "native/parallel.hpp"

namespace fastinv {
namespace {

// Fewer slots than this are not worth another thread.
constexpr std::size_t kLeastSlots = 256;

struct EntryPoints {
  BuildEnvelope build_kinematics;
  DrawSamples draw_kinematics;
  BuildEnvelope build_ballistics;
  DrawSamples draw_ballistics;
};

#define X(isa) {&isa::build_kinematics, &isa::draw_kinematics, &isa::build_ballistics, &isa::draw_ballistics},
const EntryPoints kTable[] = {FASTINV_FOR_EACH_ISA(X)};
#undef X

// Room for one observation's cells.
struct Workspace {
  explicit Workspace(std::size_t first_level)
      : cells(new Cell[first_level + kGrowth]),
        parents(new Cell[kMostHeavy]),
        last(new std::uint32_t[first_level + kGrowth]),
        guide(new std::uint32_t[std::size_t{1} << kGuideBits]),
        envelope{cells.get(), parents.get(), last.get(), guide.get(), 0} {}

  // Not vectors: these are large and hardly ever filled, and pages never written cost nothing.
  std::unique_ptr<Cell[]> cells, parents;
  std::unique_ptr<std::uint32_t[]> last, guide;
  Envelope envelope;
};

// Not initialised: every element is about to be written.
template <class T>
Column<T> column(std::size_t size) {
  return {std::unique_ptr<T[]>(new T[size]), size};
}

}  // namespace

// Counts above 60 plus 2.5 for every metre have no measurable posterior mass.
std::size_t count_cells(double y) { return 61 + static_cast<std::size_t>(2.5 * std::abs(y)); }

Sampler kinematics_sampler(const double* parameters) {
  const EntryPoints& table = kTable[active_isa_index()];
  return {{parameters, nullptr}, table.build_kinematics, table.draw_kinematics, 2, kMostKinematicsCells};
}

Sampler ballistics_sampler(const double* parameters, const double* log_count_prior, std::size_t first_level) {
  const EntryPoints& table = kTable[active_isa_index()];
  return {{parameters, log_count_prior}, table.build_ballistics, table.draw_ballistics, 1, first_level};
}

void sample(const Sampler& sampler, const double* y, std::size_t batch, std::size_t n, const Start& start,
            std::uint32_t key0, std::uint32_t key1, double* x, std::int64_t* attempts) {
  const auto slots = [&](std::size_t i, std::size_t begin, std::size_t end) {
    const auto observation = static_cast<std::uint32_t>(start.observation + i);
    return Draw{key0, key1, observation, start.slot, begin, end, x + 4 * n * i, attempts + n * i};
  };
  const auto build = [&](std::size_t i, Envelope& envelope) {
    sampler.build(sampler.problem, y + sampler.dim_y * i, envelope);
    if (envelope.size == 0) std::fill_n(attempts + n * i, n, kNoMass);
    return envelope.size > 0;
  };
  const std::size_t threads = num_threads();
  if (batch >= threads) {
    // Observations differ in cost: several ranges per thread even them out.
    parallel_for(batch, batch / (8 * threads), [&](std::size_t begin, std::size_t end) {
      Workspace work(sampler.first_level);
      for (std::size_t i = begin; i < end; ++i) {
        if (build(i, work.envelope))
          sampler.draw(sampler.problem, y + sampler.dim_y * i, work.envelope, slots(i, 0, n));
      }
    });
    return;
  }
  Workspace work(sampler.first_level);
  for (std::size_t i = 0; i < batch; ++i) {
    if (!build(i, work.envelope)) continue;
    parallel_for(n, std::max<std::size_t>(kLeastSlots, n / (8 * threads)), [&](std::size_t begin, std::size_t end) {
      sampler.draw(sampler.problem, y + sampler.dim_y * i, work.envelope, slots(i, begin, end));
    });
  }
}

EnvelopeTable envelopes(const Sampler& sampler, const double* y, std::size_t batch) {
  struct Part {
    std::vector<Cell> cells;
    std::vector<std::uint32_t> last;
  };
  std::vector<Part> parts(batch);
  const std::size_t grain = batch / (8 * num_threads());
  parallel_for(batch, grain, [&](std::size_t begin, std::size_t end) {
    Workspace work(sampler.first_level);
    const Envelope& e = work.envelope;
    for (std::size_t i = begin; i < end; ++i) {
      sampler.build(sampler.problem, y + sampler.dim_y * i, work.envelope);
      parts[i] = {{e.cells, e.cells + e.size}, {e.last, e.last + e.size}};
    }
  });
  EnvelopeTable table;
  table.offsets = column<std::int64_t>(batch + 1);
  std::int64_t* offsets = table.offsets.data.get();
  offsets[0] = 0;
  for (std::size_t i = 0; i < batch; ++i) offsets[i + 1] = offsets[i] + static_cast<std::int64_t>(parts[i].cells.size());
  const std::size_t size = static_cast<std::size_t>(offsets[batch]);
  table.cells = column<double>(5 * size);
  table.tags = column<std::int32_t>(size);
  table.last = column<std::uint32_t>(size);
  parallel_for(batch, grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::size_t k = static_cast<std::size_t>(offsets[i]);
      std::copy(parts[i].last.begin(), parts[i].last.end(), table.last.data.get() + k);
      for (const Cell& cell : parts[i].cells) {
        const double fields[] = {cell.c, cell.dc, cell.t, cell.dt, cell.log_bound};
        std::copy(fields, fields + 5, table.cells.data.get() + 5 * k);
        table.tags.data[k++] = static_cast<std::int32_t>(cell.tag);
      }
    }
  });
  return table;
}

}  // namespace fastinv
