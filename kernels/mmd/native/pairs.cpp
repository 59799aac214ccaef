// The loops over pairs, compiled once per instruction set.
//
// Four rows, broadcast, meet one vector of rows at a time. Sums stay in float over at most kVectorsPerSum vectors,
// then move to double: that bounds their rounding whatever the sample size.
//
// No vector is computed for the sake of a few of its lanes: rows of b beyond the last whole vector change places
// with rows of a, and the pairs within one vector come from its rotations.
#include "mmd/native/evaluators.hpp"
#include "mmd/native/tiles.hpp"

namespace fastinv {
namespace FASTINV_ISA {
namespace {

using mmd::Share;

constexpr int kVectorsPerSum = 32;
// Up to so many vectors, loops over the columns of each row would be too short.
constexpr int kFewVectors = 16;

template <class T, int D, bool Gradient, class Evaluator>
struct PairLoop {
  using V = Vec<T>;
  static constexpr int W = kLanes<T>;
  // A block of rows stays within one vector, so that "later vectors" means the same for all of them.
  static constexpr int kRows = Gradient ? mmd::kGradientRowBlock : mmd::kRowBlock;
  static constexpr int R = kRows < W ? kRows : W;
  const Share<T>& s;
  const Evaluator& kernel;

  template <bool Masked>
  FASTINV_INLINE void tile(int i, int j, V (&sum)[R], V* gathered) const {
    const Distances<T, D> at{s};
    V d2[R], value[R], slope[R];
    typename Distances<T, D>::template Differences<R> kept;
    at.across(i, j, d2, kept);
    kernel.template operator()<R, Gradient>(d2, value, slope);
    for (int r = 0; r < R; ++r) {
      if (Masked) {
        const IntVec<T> mask = counted(s, i + r, j);
        value[r] = keep(mask, value[r]);
        if (Gradient) slope[r] = keep(mask, slope[r]);
      }
      sum[r] += value[r];
    }
    if (Gradient) pull<T, D, R>(at, i, j, slope, kept, gathered);
  }

  FASTINV_INLINE static void flush(const V (&sum)[R], Sum& total) {
    for (int r = 0; r < R; r += 2) total.add(V(sum[r] + sum[r + 1]));
  }

  // Rows i ... i + R - 1 against columns [begin, end), at most kVectorsPerSum vectors, masked from `whole` on.
  FASTINV_INLINE void rows(int i, int begin, int whole, int end, Sum& total) const {
    V sum[R] = {};
    V local[R * (D > 0 ? D : 1)];
    V* gathered = D > 0 ? local : reinterpret_cast<V*>(s.scratch);
    const int d = D > 0 ? D : s.dimensions;
    if (Gradient)
      for (int k = 0; k < R * d; ++k) gathered[k] = V{};
    int j = begin;
    for (; j < whole; j += W) tile<false>(i, j, sum, gathered);
    for (; j < end; j += W) tile<true>(i, j, sum, gathered);
    if (Gradient && s.pull_a != nullptr)
      for (int r = 0; r < R; ++r)
        for (int k = 0; k < d; ++k)
          if (i + r < s.a.rows) s.pull_a[k * s.a.stride + i + r] -= sum_short(gathered[k * R + r]);
    if (s.row_sums != nullptr)
      for (int r = 0; r < R; ++r)
        if (i + r < s.a.rows) s.row_sums[i + r] += fastinv::FASTINV_ISA::sum(sum[r]);
    flush(sum, total);
  }

  // This share's blocks of the rows [from, to) against columns [begin, end), which start with a whole vector; with
  // `later`, against those in later vectors than the row's.
  void rectangle(int from, int to, int begin, int end, bool later, Sum& total) const {
    if (Gradient || s.row_sums != nullptr || end - begin > kFewVectors * W)
      row_by_row(from, to, begin, end, later, total);
    else
      column_by_column(from, to, begin, end, later, total);
  }

  // For few columns, of which only the sum counts: one vector of them stays in registers and rows pass by, which
  // makes few long loops of a small triangle.
  __attribute__((noinline)) void column_by_column(int from, int to, int begin, int end, bool later, Sum& total) const {
    const int first = from + s.first * R, stride = s.step * R;
    for (int j = begin; j < end; j += W) {
      const int stop = later && j < to ? j : to;
      const int whole = j + W > s.b.rows ? first : stop < s.a.rows - R + 1 ? stop : s.a.rows - R + 1;
      int i = first;
      while (i < stop) {
        V sum[R] = {};
        const int pause = i + kVectorsPerSum * stride;
        for (; i < whole && i < pause; i += stride) tile<false>(i, j, sum, nullptr);
        for (; i < stop && i < pause; i += stride) tile<true>(i, j, sum, nullptr);
        flush(sum, total);
      }
    }
  }

  __attribute__((noinline)) void row_by_row(int from, int to, int begin, int end, bool later, Sum& total) const {
    for (; begin < end; begin += kVectorsPerSum * W) {
      const int stop = begin + kVectorsPerSum * W < end ? begin + kVectorsPerSum * W : end;
      const int whole = s.b.rows / W * W < stop ? s.b.rows / W * W : stop;
      for (int i = from + s.first * R; i < to; i += s.step * R) {
        const int start = later && (i / W + 1) * W > begin ? (i / W + 1) * W : begin;
        if (start >= stop) break;
        rows(i, start, i + R <= s.a.rows ? whole : start, stop, total);
      }
    }
  }

  // Pairs within each vector of [0, end). Rotations by 1 ... W / 2 meet all of them, the last one twice.
  void diagonal(int end, Sum& total) const {
    for (int j = s.first * W; j < end; j += s.step * W) {
      if constexpr (Gradient) {
        for (int i = j; i < j + W; i += R) rows(i, j, j, j + W, total);
      } else {
        constexpr int N = W / 2;
        V d2[N], value[N], slope[N];
        Distances<T, D>{s}.within(j, d2);
        kernel.template operator()<N, false>(d2, value, slope);
        V sum = T(0.5) * value[N - 1];
        for (int r = 0; r < N - 1; ++r) sum += value[r];
        total.add(sum);
      }
    }
  }

  void one_sample(Sum& total) const {
    const int rows = s.a.rows, whole = rows / W * W;
    rectangle(0, whole, 0, whole, true, total);
    diagonal(whole, total);
    if (whole == rows) return;
    Share<T> rest = s;
    rest.same = false;
    PairLoop{rest, kernel}.rectangle(whole, rows, 0, whole, false, total);
    rectangle(whole, rows, whole, whole + W, false, total);
  }

  void two_samples(Sum& total) const {
    // Sums per row need all of a row's columns in one place.
    const int whole = s.row_sums != nullptr ? (s.b.rows + W - 1) / W * W : s.b.rows / W * W;
    rectangle(0, s.a.rows, 0, whole, false, total);
    if (whole >= s.b.rows) return;
    Share<T> turned = s;
    turned.a = s.b, turned.b = s.a;
    turned.pull_a = s.pull_b, turned.pull_b = s.pull_a;
    PairLoop{turned, kernel}.rectangle(whole, s.b.rows, 0, (s.a.rows + W - 1) / W * W, false, total);
  }

  double run() const {
    Sum total;
    s.same ? one_sample(total) : two_samples(total);
    return total.total();
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
