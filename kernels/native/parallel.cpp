#include "native/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace fastinv {
namespace {

using detail::Call;

std::size_t from_environment(const char* name) {
  const char* text = std::getenv(name);
  const long value = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
  return value > 0 ? static_cast<std::size_t>(value) : 0;
}

std::size_t usable_cpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return static_cast<std::size_t>(CPU_COUNT(&set));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

std::size_t default_threads() {
  for (const char* name : {"FASTINV_NUM_THREADS", "OMP_NUM_THREADS"})
    if (const std::size_t value = from_environment(name)) return value;
  return usable_cpus();
}

std::atomic<std::size_t>& limit() {
  static std::atomic<std::size_t> value{default_threads()};
  return value;
}

class Pool {
 public:
  // False if another thread is using the pool.
  bool run(std::size_t tasks, std::size_t grain, Call call, const void* context, std::size_t helpers) {
    std::unique_lock<std::mutex> owner(owner_, std::try_to_lock);
    if (!owner.owns_lock()) return false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while (workers_ < helpers) {
        std::thread(&Pool::work, this, workers_++, generation_).detach();
      }
      call_ = call, context_ = context, tasks_ = tasks, grain_ = grain, helpers_ = helpers;
      running_ = helpers, next_ = 0, ++generation_;
    }
    wake_.notify_all();
    drain(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
    return true;
  }

 private:
  void drain(std::size_t worker) {
    for (std::size_t begin; (begin = next_.fetch_add(grain_)) < tasks_;)
      call_(context_, worker, begin, std::min(begin + grain_, tasks_));
  }

  void work(std::size_t index, std::size_t seen) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (index >= helpers_) continue;
      lock.unlock();
      drain(index + 1);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex owner_, mutex_;
  std::condition_variable wake_, done_;
  std::atomic<std::size_t> next_{0};
  std::size_t workers_ = 0, helpers_ = 0, running_ = 0, generation_ = 0, tasks_ = 0, grain_ = 1;
  Call call_ = nullptr;
  const void* context_ = nullptr;
};

// Never destroyed: its threads may outlive static destruction. Replaced in a forked child, which has no threads.
std::atomic<Pool*> pool{nullptr};

Pool& the_pool() {
  static const bool registered = [] {
    pool = new Pool;
#if defined(__linux__)
    pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
#endif
    return true;
  }();
  static_cast<void>(registered);
  return *pool.load();
}

}  // namespace

std::size_t num_threads() { return limit(); }
void set_num_threads(std::size_t threads) { limit() = std::max<std::size_t>(1, threads); }

std::size_t workers_for(std::size_t tasks, std::size_t grain) {
  grain = std::max<std::size_t>(1, grain);
  return std::clamp<std::size_t>((tasks + grain - 1) / grain, 1, num_threads());
}

void detail::run(std::size_t tasks, std::size_t grain, std::size_t workers, Call call, const void* context) {
  grain = std::max<std::size_t>(1, grain);
  if (workers > 1 && tasks > grain && the_pool().run(tasks, grain, call, context, workers - 1)) return;
  for (std::size_t begin = 0; begin < tasks; begin += grain) call(context, 0, begin, std::min(begin + grain, tasks));
}

}  // namespace fastinv
