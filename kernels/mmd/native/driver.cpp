#include "mmd/native/driver.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "mmd/native/problem.hpp"
#include "native/dispatch.hpp"
#include "native/parallel.hpp"

namespace fastinv {

#define X(isa)                            \
  namespace isa {                         \
  extern const mmd::PairLoops pair_loops; \
  extern const mmd::Packing packing;      \
  }
FASTINV_FOR_EACH_ISA(X)
#undef X

namespace mmd {
namespace {

// Problems that threads share are packed in groups of this much memory, a fraction of a last-level cache.
constexpr std::size_t kGroupBytes = std::size_t(4) << 20;
// Pairs per task. The number of shares of a problem follows from its size alone, so that results do not depend on
// the number of threads; gradients keep one buffer per share, hence the second limit.
constexpr std::int64_t kPairsPerShare = 1 << 17, kPairsPerGradientShare = 1 << 18;
constexpr std::int64_t kMaxShares = 256, kMaxGradientShares = 16;
// With so many problems per thread, each thread takes whole ones: no buffers in common, nothing to wait for.
constexpr std::int64_t kProblemsPerThread = 16;
// Below this many pairs, or numbers to be copied, waking another thread costs more than it saves.
constexpr std::int64_t kPairsPerRange = 1 << 17, kCopiesPerRange = 1 << 16;

const PairLoops& loops() {
#define X(isa) &isa::pair_loops,
  static const PairLoops* const table[] = {FASTINV_FOR_EACH_ISA(X)};
#undef X
  return *table[active_isa_index()];
}

const Packing& packing() {
#define X(isa) &isa::packing,
  static const Packing* const table[] = {FASTINV_FOR_EACH_ISA(X)};
#undef X
  return *table[active_isa_index()];
}

Status pack(const Unpacked<float>& x, const Unpacked<float>& y, int dimensions, double limit) {
  return packing().pack_float(x, y, dimensions, limit);
}
Status pack(const Unpacked<double>& x, const Unpacked<double>& y, int dimensions, double limit) {
  return packing().pack_double(x, y, dimensions, limit);
}

double pair_sum(const Share<float>& share, const Kernel<float>& k) { return loops().sum_float(share, k); }
double pair_sum(const Share<double>& share, const Kernel<double>& k) { return loops().sum_double(share, k); }

// Distance between the coordinates of a packed sample. Multiples of 1 KiB would put all coordinates of a row into
// the same few cache sets.
template <class T>
std::ptrdiff_t packed_stride(std::int64_t rows) {
  const std::ptrdiff_t stride = (rows + kPad - 1) / kPad * kPad;
  return stride * sizeof(T) % 1024 == 0 ? stride + kPad : stride;
}

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
        gradient_(request.gradient_x != nullptr || request.gradient_y != nullptr),
        across_(gradient_ && request.parts[2] && request.weights[2] != 0.0) {
    pairs_ = (r_.parts[0] ? n_ * (n_ - 1) / 2 : 0) + (r_.parts[1] ? m_ * (m_ - 1) / 2 : 0) +
             (r_.parts[2] ? n_ * m_ : 0);
    shares_ = gradient_ ? std::clamp<std::int64_t>(pairs_ / kPairsPerGradientShare, 1, kMaxGradientShares)
                        : std::clamp<std::int64_t>(pairs_ / kPairsPerShare, 1, kMaxShares);
    packed_ = d_ * (x_stride_ + y_stride_);
    pulls_ = gradient_ ? packed_ : 0;
    scratch_ = gradient_ ? kRowBlock * d_ * std::int64_t(64 / sizeof(T)) : 0;
  }

  Status run() {
    const bool whole = shares_ == 1 || r_.x.problems >= kProblemsPerThread * std::int64_t(num_threads());
    return whole ? whole_problems() : shared_problems();
  }

 private:
  // Memory for some problems: packed samples, then what each of their shares gathers.
  struct Memory {
    Buffer<T> packed, work;
    std::vector<double> sums;
  };

  Memory memory_for(std::int64_t problems) const {
    return {Buffer<T>(problems * packed_), Buffer<T>(problems * shares_ * (pulls_ + scratch_)),
            std::vector<double>(problems * shares_ * 3)};
  }

  // The part of one problem.
  struct Place {
    T *packed, *work;
    double* sums;
  };

  Place place(Memory& memory, std::int64_t problem) const {
    return {memory.packed.get() + problem * packed_, memory.work.get() + problem * shares_ * (pulls_ + scratch_),
            memory.sums.data() + problem * shares_ * 3};
  }

  // Each problem is packed, summed and reduced by one thread in memory of its own.
  Status whole_problems() {
    const std::int64_t grain = std::max<std::int64_t>(1, kPairsPerRange / std::max<std::int64_t>(pairs_, 1));
    const std::size_t workers = workers_for(r_.x.problems, grain);
    Memory memory = memory_for(workers);
    std::atomic<Status> status{Status::ok};
    parallel_for(r_.x.problems, grain, workers, [&](std::size_t worker, std::size_t begin, std::size_t end) {
      const Place at = place(memory, worker);
      Kernel<T> k;
      for (std::size_t p = begin; p < end && status == Status::ok; ++p) {
        if (const Status own = pack_problem(at, p); own != Status::ok) {
          status = own;
          return;
        }
        if (p == begin || r_.scale[p] != r_.scale[p - 1]) k = kernel_at<T>(r_.plan, r_.scale[p]);
        for (std::int64_t s = 0; s < shares_; ++s) share(at, p, s, k);
        reduce(at, p);
      }
    });
    return status;
  }

  // A group of problems is packed, then threads take shares of them.
  Status shared_problems() {
    const std::size_t bytes = sizeof(T) * std::size_t(packed_ + shares_ * (pulls_ + scratch_));
    const std::int64_t group = std::clamp<std::int64_t>(kGroupBytes / bytes, 1, r_.x.problems);
    Memory memory = memory_for(group);
    const std::int64_t copies = std::max<std::int64_t>(1, kCopiesPerRange / packed_);
    for (std::int64_t first = 0; first < r_.x.problems; first += group) {
      const std::int64_t count = std::min(group, r_.x.problems - first);
      std::atomic<Status> status{Status::ok};
      parallel_for(count, copies, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = begin; p < end; ++p)
          if (const Status own = pack_problem(place(memory, p), first + p); own != Status::ok) status = own;
      });
      if (status != Status::ok) return status;
      parallel_for(count * shares_, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t task = begin; task < end; ++task) {
          const std::int64_t p = std::int64_t(task) / shares_;
          share(place(memory, p), first + p, std::int64_t(task) % shares_, kernel_at<T>(r_.plan, r_.scale[first + p]));
        }
      });
      parallel_for(count, std::max<std::int64_t>(1, copies / shares_), [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = begin; p < end; ++p) reduce(place(memory, p), first + p);
      });
    }
    return Status::ok;
  }

  static Unpacked<T> unpacked(const Batch<T>& from, std::int64_t problem, T* to, std::ptrdiff_t stride) {
    return {from.data + problem * from.stride[0], from.rows, from.stride[1], from.stride[2], to, stride};
  }

  Status pack_problem(const Place& at, std::int64_t problem) const {
    T* y = at.packed + d_ * x_stride_;
    return pack(unpacked(r_.x, problem, use_x_ ? at.packed : nullptr, x_stride_),
                unpacked(r_.y, problem, use_y_ ? y : nullptr, y_stride_), int(d_), r_.limit);
  }

  void share(const Place& at, std::int64_t problem, std::int64_t number, const Kernel<T>& k) const {
    const Packed<T> x{at.packed, x_stride_, int(n_)}, y{at.packed + d_ * x_stride_, y_stride_, int(m_)};
    T* work = at.work + number * (pulls_ + scratch_);
    T* pull_x = r_.gradient_x != nullptr ? work : nullptr;
    T* pull_y = r_.gradient_y != nullptr ? work + d_ * x_stride_ : nullptr;
    std::fill_n(work, pulls_, T(0));
    double* sums = at.sums + 3 * number;
    Share<T> s{x, x, true, int(d_), int(number), int(shares_), pull_x, pull_x, nullptr, work + pulls_};
    sums[0] = r_.parts[0] ? pair_sum(s, k) : 0.0;
    s.a = s.b = y, s.pull_a = s.pull_b = pull_y;
    sums[1] = r_.parts[1] ? pair_sum(s, k) : 0.0;
    if (across_) rescale(pull_x, pull_y);
    s.same = false;
    // Rows always gather, columns only if both gradients are wanted.
    const bool x_rows = pull_x != nullptr || !gradient_;
    s.a = x_rows ? x : y, s.b = x_rows ? y : x;
    s.pull_a = x_rows ? pull_x : pull_y, s.pull_b = x_rows ? pull_y : nullptr;
    if (!across_) s.pull_a = s.pull_b = nullptr;
    if (r_.row_sums != nullptr) s.row_sums = r_.row_sums + problem * n_;
    sums[2] = r_.parts[2] ? pair_sum(s, k) : 0.0;
  }

  // From the units of the sums within the samples, whose weights are applied in the end, to those between them.
  void rescale(T* pull_x, T* pull_y) const {
    const T of_x = T(weight(0) / weight(2)), of_y = T(weight(1) / weight(2));
    if (pull_x != nullptr)
      for (std::int64_t i = 0; i < d_ * x_stride_; ++i) pull_x[i] *= of_x;
    if (pull_y != nullptr)
      for (std::int64_t i = 0; i < d_ * y_stride_; ++i) pull_y[i] *= of_y;
  }

  // What turns a sum into a mean, and the same with the caller's weight.
  double mean_factor(int part) const {
    const double rows = double(part == 0 ? n_ : m_);
    if (part == 2) return 1.0 / (double(n_) * double(m_));
    return rows > 1.0 ? 2.0 / (rows * (rows - 1.0)) : 0.0;
  }
  double weight(int part) const { return r_.weights[part] * mean_factor(part); }

  void reduce(const Place& at, std::int64_t problem) const {
    for (int part = 0; part < 3; ++part) {
      double total = 0.0;
      for (std::int64_t s = 0; s < shares_; ++s) total += at.sums[3 * s + part];
      r_.means[3 * problem + part] = total * mean_factor(part);
    }
    // d k(a, b) / d a = -2 slope (a - b); Gaussian slopes come divided by ln 2 and their first rate.
    const Plan& plan = r_.plan;
    const double slope = -2.0 * (plan.gaussian ? 0.69314718055994530942 * plan.heads[0] * r_.scale[problem] : 1.0);
    const double of_x = slope * weight(across_ ? 2 : 0), of_y = slope * weight(across_ ? 2 : 1);
    if (r_.gradient_x != nullptr) gather(at.work, x_stride_, n_, of_x, r_.gradient_x + problem * n_ * d_);
    if (r_.gradient_y != nullptr)
      gather(at.work + d_ * x_stride_, y_stride_, m_, of_y, r_.gradient_y + problem * m_ * d_);
  }

  // Adds what the other shares pulled to the first one's, then brings the coordinates of each row together.
  void gather(T* pulls, std::ptrdiff_t stride, std::int64_t rows, double factor, T* gradient) const {
    const std::int64_t dimensions = d_, size = dimensions * stride;
    for (std::int64_t s = 1; s < shares_; ++s) {
      const T* others = pulls + s * (pulls_ + scratch_);
      for (std::int64_t i = 0; i < size; ++i) pulls[i] += others[i];
    }
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t k = 0; k < dimensions; ++k)
        gradient[i * dimensions + k] = T(factor * pulls[k * stride + i]);
  }

  const Request<T>& r_;
  std::int64_t n_, m_, d_;
  std::ptrdiff_t x_stride_, y_stride_;
  bool use_x_, use_y_, gradient_;
  bool across_;  // whether the gradients have a part between the samples
  std::int64_t pairs_, shares_, packed_, pulls_, scratch_;
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
