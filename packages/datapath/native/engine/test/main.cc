#include <cstring>

#include "check.h"

int main(int count, char** arguments) {
  const bool lists = count == 2 && std::strcmp(arguments[1], "list") == 0;
  bool is_known = lists;
  for (const std::span<const Test> tests : {rules_tests(), engine_tests()}) {
    for (const Test& test : tests) {
      if (lists) std::puts(test.name);
      if (count != 2 || std::strcmp(arguments[1], test.name) != 0) continue;
      is_known = true;
      test.run();
    }
  }
  return is_known ? 0 : 2;
}
