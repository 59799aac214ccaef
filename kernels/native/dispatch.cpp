#include "native/dispatch.hpp"

#include <cstdlib>
#include <stdexcept>

namespace fastinv {
namespace {

bool cpu_has(const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == "avx512")
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("fma");
#endif
  // The oldest set of each architecture is part of its base.
  return isa == built_isas().front();
}

std::size_t choose() {
  const std::vector<std::string> built = built_isas();
  const char* forced = std::getenv("FASTINV_ISA");
  std::string usable;
  for (std::size_t i = built.size(); i-- > 0;) {
    if (!cpu_has(built[i])) continue;
    if (forced == nullptr || *forced == '\0' || built[i] == forced) return i;
    usable += (usable.empty() ? "" : ", ") + built[i];
  }
  throw std::invalid_argument("FASTINV_ISA=" + std::string(forced) +
                              " was not built or this CPU lacks it; accepted: " + usable);
}

}  // namespace

std::vector<std::string> built_isas() {
#define X(isa) #isa,
  return {FASTINV_FOR_EACH_ISA(X)};
#undef X
}

std::size_t active_isa_index() {
  static const std::size_t index = choose();
  return index;
}

std::string active_isa() { return built_isas()[active_isa_index()]; }

}  // namespace fastinv
