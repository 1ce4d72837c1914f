#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <type_traits>

namespace mesh {

// An array of zeroed memory straight from the kernel: large tables cost only the pages that are touched.
template <typename T>
class Zeroed {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit Zeroed(size_t count) : bytes_(count * sizeof(T)) {
    void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();  // address space is exhausted: nothing here could go on
    data_ = static_cast<T*>(memory);
  }
  Zeroed(const Zeroed&) = delete;
  Zeroed& operator=(const Zeroed&) = delete;
  ~Zeroed() { ::munmap(data_, bytes_); }

  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* data() { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  T* data_;
};

}  // namespace mesh
