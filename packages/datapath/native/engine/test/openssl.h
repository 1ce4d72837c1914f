#pragma once

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#include "../aead.h"
#include "check.h"

// OpenSSL as the node binary has it: in the process, under its own symbol names. Skips the test where there is none.
inline const mesh::Evp& need_openssl() {
  if (::dlopen("libcrypto.so.3", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    std::puts("no libcrypto.so.3 on this machine");
    std::exit(kSkipped);
  }
  const mesh::Evp* evp = mesh::Evp::find();
  CHECK(evp != nullptr);
  return *evp;
}
