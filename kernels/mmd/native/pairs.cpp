// The loops over pairs, compiled once per instruction set.
//
// Four rows of a, broadcast, meet one vector of rows of b at a time. Sums stay in registers over at most
// kVectorsPerSum vectors, then move to double: that bounds the rounding of float sums whatever the sample size.
#include "mmd/native/evaluators.hpp"

namespace fastinv {
namespace FASTINV_ISA {
namespace {

using mmd::Share;

constexpr int kVectorsPerSum = 32;

// Differences of R rows of a, from row i, to one vector of b, from row j; D is the dimension, or 0 for any.
template <class T, int D, int R>
struct Distances {
  using V = Vec<T>;
  const Share<T>& s;

  FASTINV_INLINE int dimensions() const { return D > 0 ? D : s.dimensions; }
  FASTINV_INLINE V column(int k, int j) const { return load(s.b.data + k * s.b.stride + j); }
  FASTINV_INLINE T row(int k, int i) const { return s.a.data[k * s.a.stride + i]; }

  FASTINV_INLINE void operator()(int i, int j, V (&d2)[R]) const {
    {
      const V b = column(0, j);
      for (int r = 0; r < R; ++r) {
        const V t = b - row(0, i + r);
        d2[r] = t * t;
      }
    }
    for (int k = 1; k < dimensions(); ++k) {
      const V b = column(k, j);
      for (int r = 0; r < R; ++r) {
        const V t = b - row(k, i + r);
        d2[r] += t * t;
      }
    }
  }
};

// Which lanes of rows i + r and columns j... count: j < number of columns, and j > i + r within one sample.
template <class T>
FASTINV_INLINE IntVec<T> counted(const Share<T>& s, int row, int j) {
  using Integer = typename Lanes<T>::Integer;
  const IntVec<T> index = iota<T>() + Integer(j);
  IntVec<T> mask = index < Integer(s.b.rows);
  if (s.same) mask &= index > Integer(row);
  if (row >= s.a.rows) mask = IntVec<T>{};
  return mask;
}

// Adds factor * slope * (a - b) of R x W pairs to the pulls: rows gather in `gathered`, columns in memory.
template <class T, int D, int R>
FASTINV_INLINE void pull(const Distances<T, D, R>& at, int i, int j, const Vec<T> (&slope)[R], Vec<T>* gathered) {
  using V = Vec<T>;
  const Share<T>& s = at.s;
  for (int k = 0; k < at.dimensions(); ++k) {
    const V b = at.column(k, j);
    V total = V{};
    for (int r = 0; r < R; ++r) {
      const V force = slope[r] * (b - at.row(k, i + r));
      gathered[k * R + r] += force;
      total += force;
    }
    if (s.pull_b != nullptr) {
      T* target = s.pull_b + k * s.b.stride + j;
      store(target, Vec<T>(load(target) + s.factor * total));
    }
  }
}

template <class T, int D, bool Gradient, class Evaluator>
struct PairLoop {
  using V = Vec<T>;
  static constexpr int W = kLanes<T>;
  static constexpr int R = Gradient ? mmd::kGradientRowBlock : mmd::kRowBlock;
  const Share<T>& s;
  const Evaluator& kernel;

  template <bool Masked>
  FASTINV_INLINE void tile(int i, int j, V (&sum)[R], V* gathered) const {
    const Distances<T, D, R> at{s};
    V d2[R], value[R], slope[R];
    at(i, j, d2);
    kernel.template operator()<R, Gradient>(d2, value, slope);
    for (int r = 0; r < R; ++r) {
      if (Masked) {
        const IntVec<T> mask = counted(s, i + r, j);
        value[r] = keep(mask, value[r]);
        if (Gradient) slope[r] = keep(mask, slope[r]);
      }
      sum[r] += value[r];
    }
    if (Gradient) pull(at, i, j, slope, gathered);
  }

  // Rows i ... i + R - 1 against columns [begin, end), both multiples of W.
  double rows(int i, int begin, int end) const {
    V sum[R] = {};
    V local[R * (D > 0 ? D : 1)];
    V* gathered = D > 0 ? local : reinterpret_cast<V*>(s.scratch);
    const int d = D > 0 ? D : s.dimensions;
    if (Gradient)
      for (int k = 0; k < R * d; ++k) gathered[k] = V{};
    const bool whole = i + R <= s.a.rows;
    const int last_whole = whole ? s.b.rows - W : -1;
    int j = s.same && i / W * W > begin ? i / W * W : begin;
    for (; j < end && s.same && j < i + R; j += W) tile<true>(i, j, sum, gathered);
    for (; j < end && j <= last_whole; j += W) tile<false>(i, j, sum, gathered);
    for (; j < end; j += W) tile<true>(i, j, sum, gathered);
    if (Gradient)
      for (int r = 0; r < R; ++r)
        for (int k = 0; k < d; ++k)
          if (i + r < s.a.rows) s.pull_a[k * s.a.stride + i + r] -= s.factor * sum_short(gathered[k * R + r]);
    double total = 0.0;
    for (int r = 0; r < R; ++r) {
      const double of_row = fastinv::FASTINV_ISA::sum(sum[r]);
      if (s.row_sums != nullptr && i + r < s.a.rows) s.row_sums[i + r] += of_row;
      total += of_row;
    }
    return total;
  }

  double run() const {
    double total = 0.0;
    const int blocks = (s.a.rows + R - 1) / R;
    const int columns = (s.b.rows + W - 1) / W * W;
    for (int begin = 0; begin < columns; begin += kVectorsPerSum * W) {
      const int end = begin + kVectorsPerSum * W < columns ? begin + kVectorsPerSum * W : columns;
      for (int block = s.first; block < blocks; block += s.step) {
        if (s.same && block * R >= end) break;
        total += rows(block * R, begin, end);
      }
    }
    return total;
  }
};

template <class T, int D, class Evaluator>
double run(const Share<T>& share, const mmd::Kernel<T>& k) {
  const Evaluator kernel(k);
  if (share.pull_a != nullptr) return PairLoop<T, D, true, Evaluator>{share, kernel}.run();
  return PairLoop<T, D, false, Evaluator>{share, kernel}.run();
}

// Dimensions that the loops are unrolled for: up to 8 for the kernels that are used most, in float; a few for
// everything else, which keeps the extension small. All others share the loop over any dimension.
template <class T, class Evaluator>
double by_dimension(const Share<T>& share, const mmd::Kernel<T>& k) {
  switch (share.dimensions) {
    case 1: return run<T, 1, Evaluator>(share, k);
    case 2: return run<T, 2, Evaluator>(share, k);
    case 3: return run<T, 3, Evaluator>(share, k);
    case 4: return run<T, 4, Evaluator>(share, k);
    case 5: return run<T, 5, Evaluator>(share, k);
    case 6: return run<T, 6, Evaluator>(share, k);
    case 7: return run<T, 7, Evaluator>(share, k);
    case 8: return run<T, 8, Evaluator>(share, k);
    default: return run<T, 0, Evaluator>(share, k);
  }
}

template <class T, class Evaluator>
double by_few_dimensions(const Share<T>& share, const mmd::Kernel<T>& k) {
  switch (share.dimensions) {
    case 2: return run<T, 2, Evaluator>(share, k);
    case 4: return run<T, 4, Evaluator>(share, k);
    default: return run<T, 0, Evaluator>(share, k);
  }
}

double sum_float(const Share<float>& share, const mmd::Kernel<float>& k) {
  if (SingleGaussian<float>::serves(k)) return by_dimension<float, SingleGaussian<float>>(share, k);
  if (HalfTwoAndPower<float>::serves(k)) return by_dimension<float, HalfTwoAndPower<float>>(share, k);
  if (GaussianOctaves<float>::serves(k)) return by_few_dimensions<float, GaussianOctaves<float>>(share, k);
  if (k.gaussian) return by_few_dimensions<float, GaussianSum<float>>(share, k);
  return by_few_dimensions<float, MultiquadricSum<float>>(share, k);
}

double sum_double(const Share<double>& share, const mmd::Kernel<double>& k) {
  if (k.gaussian) return by_few_dimensions<double, GaussianSum<double>>(share, k);
  return by_few_dimensions<double, MultiquadricSum<double>>(share, k);
}

}  // namespace

extern const mmd::PairLoops pair_loops;
const mmd::PairLoops pair_loops = {&sum_float, &sum_double};

}  // namespace FASTINV_ISA
}  // namespace fastinv
