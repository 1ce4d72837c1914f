#include <cstring>

#include "check.h"

namespace {

// With the thread sanitizer only tests with threads in them are built.
#ifdef MESH_ONLY_THREADS
const std::span<const Test> kAll[] = {engine_tests(), way_tests()};
#else
const std::span<const Test> kAll[] = {rules_tests(), guard_tests(), fuzz_tests(), engine_tests(), way_tests()};
#endif

}  // namespace

int main(int count, char** arguments) {
  const bool lists = count == 2 && std::strcmp(arguments[1], "list") == 0;
  bool is_known = lists;
  for (const std::span<const Test> tests : kAll) {
    for (const Test& test : tests) {
      if (lists) std::puts(test.name);
      if (count != 2 || std::strcmp(arguments[1], test.name) != 0) continue;
      is_known = true;
      test.run();
    }
  }
  return is_known ? 0 : 2;
}
