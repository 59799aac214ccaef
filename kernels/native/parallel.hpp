// Threads for the compiled loops: a pool that starts at first use and sleeps between calls.
#pragma once

#include <cstddef>

namespace fastinv {

// Threads that parallel_for may use: FASTINV_NUM_THREADS, else OMP_NUM_THREADS, else the CPUs this process may
// run on, unless set_num_threads() was called.
std::size_t num_threads();
void set_num_threads(std::size_t threads);

namespace detail {
void run(std::size_t tasks, std::size_t grain, void (*call)(const void*, std::size_t, std::size_t),
         const void* context);
}

// Calls body(begin, end) for consecutive ranges of at most `grain` tasks that cover [0, tasks), on all threads.
// Ranges are handed out in order but finish in any: for results that do not depend on the number of threads,
// write per task and reduce afterwards. One range runs in the calling thread at once. Safe after fork() and from
// several threads at a time; body must not throw and must not call parallel_for.
template <class Body>
void parallel_for(std::size_t tasks, std::size_t grain, const Body& body) {
  detail::run(tasks, grain,
              [](const void* context, std::size_t begin, std::size_t end) {
                (*static_cast<const Body*>(context))(begin, end);
              },
              &body);
}

}  // namespace fastinv
