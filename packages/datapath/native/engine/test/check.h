#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

// `program list` prints the tests' names; `program NAME` runs one and exits 0, or says where it failed; see main.cc.

struct Test {
  const char* name;
  void (*run)();
};

std::span<const Test> rules_tests();
std::span<const Test> guard_tests();
std::span<const Test> fuzz_tests();
std::span<const Test> engine_tests();
std::span<const Test> way_tests();

// What a program exits with when the machine lacks something it needs, after naming it.
inline constexpr int kSkipped = 77;

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                  \
    }                                                                                \
  } while (false)

// xorshift64*: the same numbers from the same seed, everywhere.
class SeededRandom {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }
  uint64_t below(uint64_t limit) { return (next() >> 11) % limit; }
  void fill(uint8_t* bytes, size_t length) {
    for (size_t i = 0; i < length; i++) bytes[i] = static_cast<uint8_t>(next() >> 32);
  }

 private:
  uint64_t state_;
};
