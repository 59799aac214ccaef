// Which instruction set the hot loops use: detected once, forced by the environment variable FASTINV_ISA.
//
// A source added by fastinv_add_isa_sources() puts its code into namespace fastinv::FASTINV_ISA and exports one
// function or table per set. The caller, compiled once, lists them all and indexes with active_isa_index():
//
//   #define X(isa) namespace isa { double sum(const float*, size_t); }
//   FASTINV_FOR_EACH_ISA(X)
//   #undef X
//   #define X(isa) &isa::sum,
//   static double (*const table[])(const float*, size_t) = {FASTINV_FOR_EACH_ISA(X)};
//   table[active_isa_index()](data, size);
//
// Such sources must not instantiate templates or inline functions of the standard library: the linker keeps one
// copy of each, and it could be the one compiled for a CPU that this machine is not.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "isa_list.hpp"

namespace fastinv {

// Names of the instruction sets of this build, oldest first.
std::vector<std::string> built_isas();

// Position of the chosen set in that list. Throws std::invalid_argument if FASTINV_ISA names a set that was not
// built or that this CPU lacks.
std::size_t active_isa_index();

std::string active_isa();

}  // namespace fastinv
