#include "mmd/native/driver.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "mmd/native/pack.hpp"
#include "mmd/native/problem.hpp"
#include "native/dispatch.hpp"
#include "native/parallel.hpp"

namespace fastinv {

#define X(isa)                          \
  namespace isa {                       \
  extern const mmd::PairLoops pair_loops; \
  }
FASTINV_FOR_EACH_ISA(X)
#undef X

namespace mmd {
namespace {

// Problems packed at a time share this much memory, a fraction of a last-level cache.
constexpr std::size_t kGroupBytes = std::size_t(8) << 20;
// Pairs per task. The number of shares of a problem follows from its size alone, so that results do not depend on
// the number of threads; gradients keep one buffer per share, hence the second limit.
constexpr std::int64_t kPairsPerShare = 1 << 19;
constexpr std::int64_t kMaxShares = 256, kMaxGradientShares = 16;
// Below this many pairs, waking another thread costs more than it saves.
constexpr std::int64_t kPairsPerRange = 1 << 17;

const PairLoops& loops() {
#define X(isa) &isa::pair_loops,
  static const PairLoops* const table[] = {FASTINV_FOR_EACH_ISA(X)};
#undef X
  return *table[active_isa_index()];
}

double pair_sum(const Share<float>& share, const Kernel<float>& k) { return loops().sum_float(share, k); }
double pair_sum(const Share<double>& share, const Kernel<double>& k) { return loops().sum_double(share, k); }

// Uninitialised memory aligned for any vector.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t size) {
    const std::size_t bytes = (std::max<std::size_t>(size, 1) * sizeof(T) + 63) / 64 * 64;
    data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
    if (data_ == nullptr) throw std::bad_alloc();
  }
  T* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
};

// Exponents stay above the smallest normal number's, and u below the largest number.
template <class T>
constexpr double kExponents = sizeof(T) == 4 ? 125.0 : 1020.0;
template <class T>
constexpr double kLargest = sizeof(T) == 4 ? 1e37 : 1e300;

template <class T>
void set_gaussian(Kernel<T>& k, const Plan& plan, double scale) {
  double rate = 0.0;
  for (int h = 0; h < plan.head_rows; ++h) {
    const double* row = plan.heads + h * plan.head_columns;
    rate = std::ldexp(row[0] > 0.0 ? row[0] : rate, int(row[1]));
    k.rate[h] = T(row[0] * scale);
    k.cap[h] = T(row[0] > 0.0 ? kExponents<T> / (row[0] * scale) : 0.0);
    k.count[h] = int(row[1]);
    k.weight[h] = T(row[2]);
    k.growth[h] = T(row[2] * rate / plan.heads[0]);
  }
}

template <class T>
void set_multiquadric(Kernel<T>& k, const Plan& plan, double scale) {
  for (int h = 0; h < plan.head_rows; ++h) {
    const double* row = plan.heads + h * plan.head_columns;
    k.rate[h] = T(row[0] * scale);
    k.cap[h] = T(kLargest<T> / (row[0] * scale));
    k.count[h] = int(row[1]);
    k.degree[h] = 0;
    for (int n = 1; n <= kMaxPower; ++n) {
      k.coefficient[h][n] = T(row[1 + n]);
      k.slope_coefficient[h][n] = T(0.5 * n * row[1 + n]);
      if (row[1 + n] != 0.0) k.degree[h] = n;
    }
  }
  for (int t = 0; t < plan.tail_rows; ++t) {
    const double weight = plan.tails[2 * t], power = plan.tails[2 * t + 1];
    k.tail_weight[t] = T(weight), k.tail_power[t] = T(power);
    k.tail_slope[t] = T(weight * power);
    k.tail_cap[t] = T(kExponents<T> / power);
  }
}

template <class T>
Kernel<T> kernel_at(const Plan& plan, double scale) {
  Kernel<T> k;
  k.gaussian = plan.gaussian, k.heads = plan.head_rows;
  plan.gaussian ? set_gaussian(k, plan, scale) : set_multiquadric(k, plan, scale);
  return k;
}

template <class T>
class Evaluation {
 public:
  explicit Evaluation(const Request<T>& request)
      : r_(request),
        n_(request.x.rows),
        m_(request.y.rows),
        d_(request.x.dimensions),
        x_stride_(packed_stride<T>(n_)),
        y_stride_(packed_stride<T>(m_)),
        use_x_(request.parts[0] || request.parts[2]),
        use_y_(request.parts[1] || request.parts[2]),
        gradient_(request.gradient_x != nullptr || request.gradient_y != nullptr) {
    pairs_ = (r_.parts[0] ? n_ * (n_ - 1) / 2 : 0) + (r_.parts[1] ? m_ * (m_ - 1) / 2 : 0) +
             (r_.parts[2] ? n_ * m_ : 0);
    shares_ = std::clamp<std::int64_t>(pairs_ / kPairsPerShare, 1, gradient_ ? kMaxGradientShares : kMaxShares);
    packed_ = d_ * (x_stride_ + y_stride_);
    pulls_ = gradient_ ? packed_ : 0;
    scratch_ = gradient_ ? kRowBlock * d_ * std::int64_t(64 / sizeof(T)) : 0;
    const std::size_t bytes = sizeof(T) * std::size_t(packed_ + shares_ * (pulls_ + scratch_));
    group_ = std::clamp<std::int64_t>(kGroupBytes / std::max<std::size_t>(bytes, 1), 1, r_.x.problems);
  }

  Status run() {
    const Buffer<T> packed(group_ * packed_), work(group_ * shares_ * (pulls_ + scratch_));
    std::vector<double> sums(group_ * shares_ * 3);
    for (first_ = 0; first_ < r_.x.problems; first_ += group_) {
      const std::int64_t count = std::min(group_, r_.x.problems - first_);
      if (const Status status = pack(packed.get(), count); status != Status::ok) return status;
      const std::int64_t grain = std::max<std::int64_t>(1, kPairsPerRange * shares_ / std::max<std::int64_t>(pairs_, 1));
      parallel_for(count * shares_, grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t task = begin; task < end; ++task)
          share(packed.get(), work.get() + task * (pulls_ + scratch_), sums.data() + 3 * task, task);
      });
      parallel_for(count, std::max<std::int64_t>(1, (1 << 16) / packed_), [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = begin; p < end; ++p) reduce(work.get(), sums.data(), p);
      });
    }
    return Status::ok;
  }

 private:
  Status pack(T* packed, std::int64_t count) const {
    std::atomic<Status> status{Status::ok};
    parallel_for(count, std::max<std::int64_t>(1, (1 << 16) / packed_), [&](std::size_t begin, std::size_t end) {
      for (std::size_t p = begin; p < end; ++p) {
        T* x = packed + p * packed_;
        T* y = x + d_ * x_stride_;
        const Status own = pack_problem(r_, first_ + std::int64_t(p), use_x_ ? x : nullptr, x_stride_,
                                        use_y_ ? y : nullptr, y_stride_);
        if (own != Status::ok) status = own;
      }
    });
    return status;
  }

  // Share `task % shares_` of problem `task / shares_` of the group.
  void share(const T* packed, T* work, double* sums, std::size_t task) const {
    const std::size_t p = task / shares_;
    const Kernel<T> k = kernel_at<T>(r_.plan, r_.scale[first_ + p]);
    const Packed<T> x{packed + p * packed_, x_stride_, int(n_)};
    const Packed<T> y{packed + p * packed_ + d_ * x_stride_, y_stride_, int(m_)};
    T* pull_x = r_.gradient_x != nullptr ? work : nullptr;
    T* pull_y = r_.gradient_y != nullptr ? work + d_ * x_stride_ : nullptr;
    std::fill_n(work, pulls_, T(0));
    // d k(a, b) / d a = -2 slope (a - b); Gaussian slopes come divided by ln 2 and their first rate.
    const double slope = -2.0 * (k.gaussian ? 0.69314718055994530942 * r_.plan.heads[0] * r_.scale[first_ + p] : 1.0);
    Share<T> s{x, x, true, int(d_), int(task % shares_), int(shares_), pull_x, pull_x, T(0), nullptr, work + pulls_};
    s.factor = T(slope * r_.weights[0] * mean_factor(n_));
    sums[0] = r_.parts[0] ? pair_sum(s, k) : 0.0;
    s.a = s.b = y, s.pull_a = s.pull_b = pull_y;
    s.factor = T(slope * r_.weights[1] * mean_factor(m_));
    sums[1] = r_.parts[1] ? pair_sum(s, k) : 0.0;
    s.same = false, s.factor = T(slope * r_.weights[2] / (double(n_) * double(m_)));
    // Rows always gather, columns only if both gradients are wanted.
    const bool x_rows = pull_x != nullptr || !gradient_;
    s.a = x_rows ? x : y, s.b = x_rows ? y : x;
    s.pull_a = x_rows ? pull_x : pull_y, s.pull_b = x_rows ? pull_y : nullptr;
    if (r_.row_sums != nullptr) s.row_sums = r_.row_sums + (first_ + p) * n_;
    sums[2] = r_.parts[2] ? pair_sum(s, k) : 0.0;
  }

  static double mean_factor(std::int64_t rows) { return rows > 1 ? 2.0 / (double(rows) * double(rows - 1)) : 0.0; }

  void reduce(const T* work, const double* sums, std::size_t p) const {
    const double factor[3] = {mean_factor(n_), mean_factor(m_), 1.0 / (double(n_) * double(m_))};
    for (int part = 0; part < 3; ++part) {
      double total = 0.0;
      for (std::int64_t s = 0; s < shares_; ++s) total += sums[3 * (p * shares_ + s) + part];
      r_.means[3 * (first_ + p) + part] = total * factor[part];
    }
    const T* pulls = work + p * shares_ * (pulls_ + scratch_);
    if (r_.gradient_x != nullptr) gather(pulls, x_stride_, n_, r_.gradient_x + (first_ + p) * n_ * d_);
    if (r_.gradient_y != nullptr) gather(pulls + d_ * x_stride_, y_stride_, m_, r_.gradient_y + (first_ + p) * m_ * d_);
  }

  void gather(const T* pulls, std::ptrdiff_t stride, std::int64_t rows, T* gradient) const {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t k = 0; k < d_; ++k) {
        double total = 0.0;
        for (std::int64_t s = 0; s < shares_; ++s) total += pulls[s * (pulls_ + scratch_) + k * stride + i];
        gradient[i * d_ + k] = T(total);
      }
  }

  const Request<T>& r_;
  std::int64_t n_, m_, d_;
  std::ptrdiff_t x_stride_, y_stride_;
  bool use_x_, use_y_, gradient_;
  std::int64_t pairs_, shares_, packed_, pulls_, scratch_, group_, first_ = 0;
};

}  // namespace

template <class T>
Status evaluate(const Request<T>& request) {
  if (request.x.problems == 0) return Status::ok;
  return Evaluation<T>(request).run();
}

template Status evaluate(const Request<float>&);
template Status evaluate(const Request<double>&);

}  // namespace mmd
}  // namespace fastinv
