// Threads for the compiled loops: a pool that starts at first use and sleeps between calls.
#pragma once

#include <cstddef>

namespace fastinv {

// Threads that parallel_for may use: FASTINV_NUM_THREADS, else OMP_NUM_THREADS, else the CPUs this process may
// run on, unless set_num_threads() was called.
std::size_t num_threads();
void set_num_threads(std::size_t threads);

// Threads worth using for so many tasks in ranges of `grain`; at least 1.
std::size_t workers_for(std::size_t tasks, std::size_t grain);

namespace detail {
using Call = void (*)(const void* context, std::size_t worker, std::size_t begin, std::size_t end);
void run(std::size_t tasks, std::size_t grain, std::size_t workers, Call call, const void* context);
}  // namespace detail

// Calls body(worker, begin, end) for consecutive ranges of at most `grain` tasks that cover [0, tasks), on that
// many threads; worker < workers tells them apart, for memory of their own. Ranges are handed out in order but
// finish in any: for results that do not depend on the number of threads, write per task and reduce afterwards.
// One range runs in the calling thread at once. Safe after fork() and from several threads at a time; body must
// not throw and must not call parallel_for.
template <class Body>
void parallel_for(std::size_t tasks, std::size_t grain, std::size_t workers, const Body& body) {
  detail::run(tasks, grain, workers,
              [](const void* context, std::size_t worker, std::size_t begin, std::size_t end) {
                (*static_cast<const Body*>(context))(worker, begin, end);
              },
              &body);
}

// The same on all threads, for a body(begin, end).
template <class Body>
void parallel_for(std::size_t tasks, std::size_t grain, const Body& body) {
  parallel_for(tasks, grain, workers_for(tasks, grain),
               [&body](std::size_t, std::size_t begin, std::size_t end) { body(begin, end); });
}

}  // namespace fastinv
