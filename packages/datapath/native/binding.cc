// Node-API glue: arguments in, results out, and the life of an engine inside a JavaScript environment. No rule of the
// data plane is here; layouts of bytes are in layouts.h. native.ts is the only caller and checks types and ranges before; what is checked here protects
// memory. Every function takes the handle that `open` returned as its first argument.
//
// Life: the handle is freed when both JavaScript's garbage collector and the threadsafe function have let go of it.
// The pumps are joined before either can: by `close`, by the environment's cleanup hook (worker termination, end of
// the main script) or by atexit (process.exit and uncaught exceptions, which run no cleanup hooks).

#define NAPI_VERSION 8
#include <node_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "engine/bytes.h"
#include "engine/clock.h"
#include "engine/engine.h"
#include "layouts.h"

namespace {

using mesh::Engine;
using mesh::decode_members;
using mesh::decode_numbers;
using mesh::decode_routes;
using mesh::decode_ways;
using mesh::encode_exception;

struct Handle {
  std::unique_ptr<Engine> engine;  // null once closed
  napi_threadsafe_function wake = nullptr;
  napi_ref stats = nullptr;
  int owners = 0;
};

// Engines that run, for atexit. The lock is taken on open, close and exit only.
std::mutex g_running_lock;
std::vector<Engine*> g_running;

void stop_all() {
  const std::lock_guard lock(g_running_lock);
  for (Engine* engine : g_running) engine->stop();
  g_running.clear();
}

void remember(Engine* engine) {
  const std::lock_guard lock(g_running_lock);
  // Registered late, so that it runs before OpenSSL's own handler takes the cipher away from the pumps.
  static const int is_registered = std::atexit(stop_all);
  static_cast<void>(is_registered);
  g_running.push_back(engine);
}

void stop(Handle& handle) {
  if (handle.engine == nullptr) return;
  {
    const std::lock_guard lock(g_running_lock);
    std::erase(g_running, handle.engine.get());
  }
  handle.engine.reset();
}

void let_go(Handle* handle) {
  if (--handle->owners > 0) return;
  stop(*handle);
  delete handle;
}

// --- values ---------------------------------------------------------------------------------------------------------

napi_value make_undefined(napi_env env) {
  napi_value value = nullptr;
  napi_get_undefined(env, &value);
  return value;
}

napi_value make_boolean(napi_env env, bool is_true) {
  napi_value value = nullptr;
  napi_get_boolean(env, is_true, &value);
  return value;
}

napi_value make_number(napi_env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return value;
}

napi_value make_string(napi_env env, std::string_view text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &value);
  return value;
}

template <size_t N>
struct Arguments {
  Arguments(napi_env env_in, napi_callback_info info) : env(env_in) {
    size_t count = N;
    is_complete = napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count >= N;
  }

  Handle* handle() const {
    void* data = nullptr;
    return is_complete && napi_get_value_external(env, values[0], &data) == napi_ok ? static_cast<Handle*>(data) : nullptr;
  }
  // The engine, or null when there is none any more; then a JavaScript exception is pending.
  Engine* engine() const {
    const Handle* found = handle();
    if (found != nullptr && found->engine != nullptr) return found->engine.get();
    napi_throw_error(env, "closed", "the datapath is closed");
    return nullptr;
  }
  uint32_t u32(size_t i) const {
    uint32_t number = 0;
    napi_get_value_uint32(env, values[i], &number);
    return number;
  }
  double number(size_t i) const {
    double number = 0;
    napi_get_value_double(env, values[i], &number);
    return number;
  }
  bool boolean(size_t i) const {
    bool is_true = false;
    napi_get_value_bool(env, values[i], &is_true);
    return is_true;
  }
  // The memory of a Uint8Array; empty for anything else.
  std::span<uint8_t> bytes(size_t i) const {
    napi_typedarray_type type{};
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, values[i], &type, &length, &data, nullptr, nullptr) != napi_ok) return {};
    return type == napi_uint8_array ? std::span(static_cast<uint8_t*>(data), length) : std::span<uint8_t>();
  }

  napi_env env;
  napi_value values[N] = {};
  bool is_complete = false;
};

bool refuse(napi_env env, const char* what) {
  napi_throw_range_error(env, "invalid", what);
  return false;
}

// That JavaScript counts to.
constexpr double kLargestInteger = 9'007'199'254'740'991;

// --- open and close -------------------------------------------------------------------------------------------------

void on_wake(napi_env env, napi_value callback, void*, void*) {
  if (env == nullptr) return;  // the environment is going down
  napi_value result = nullptr;
  if (napi_call_function(env, make_undefined(env), callback, 0, nullptr, &result) != napi_pending_exception) return;
  napi_value error = nullptr;
  napi_get_and_clear_last_exception(env, &error);
  napi_fatal_exception(env, error);
}

void wake_javascript(void* wake) {
  napi_call_threadsafe_function(static_cast<napi_threadsafe_function>(wake), nullptr, napi_tsfn_nonblocking);
}

// The environment goes down with the engine running. The threadsafe function has a hook of its own, which comes later:
// hooks run last added first.
void on_environment_end(void* data) { stop(*static_cast<Handle*>(data)); }

void throw_open_fault(napi_env env, const mesh::OpenFault& fault) {
  static constexpr const char* kStages[] = {"none", "aead", "udp", "tun", "threads"};
  napi_value error = nullptr;
  napi_create_error(env, make_string(env, kStages[static_cast<size_t>(fault.stage)]), make_string(env, "open failed"), &error);
  napi_set_named_property(env, error, "errno", make_number(env, fault.error));
  napi_throw(env, error);
}

// open(tunName, mtu, udpPort, stats: BigUint64Array over shared memory, onWake) -> handle
// Throws an Error with code "aead", "udp", "tun" or "threads", and the number `errno`.
napi_value open(napi_env env, napi_callback_info info) {
  const Arguments<5> arguments(env, info);
  char tun_name[64];
  size_t name_length = 0;
  napi_typedarray_type type{};
  size_t words = 0;
  void* stats = nullptr;
  if (!arguments.is_complete ||
      napi_get_value_string_utf8(env, arguments.values[0], tun_name, sizeof tun_name, &name_length) != napi_ok ||
      napi_get_typedarray_info(env, arguments.values[3], &type, &words, &stats, nullptr, nullptr) != napi_ok ||
      type != napi_biguint64_array || words != mesh::kStatsWords) {
    refuse(env, "open(tunName, mtu, udpPort, stats, onWake)");
    return nullptr;
  }

  auto* handle = new Handle;
  if (napi_create_threadsafe_function(
          env, arguments.values[4], nullptr, make_string(env, "mesh datapath"), 0, 1, handle,
          [](napi_env, void* data, void*) { let_go(static_cast<Handle*>(data)); }, nullptr, on_wake,
          &handle->wake) != napi_ok) {
    delete handle;
    refuse(env, "onWake is not a function");
    return nullptr;
  }
  handle->owners = 1;
  handle->engine = std::make_unique<Engine>(mesh::Waker{wake_javascript, handle->wake}, static_cast<uint64_t*>(stats),
                                            arguments.u32(1));
  const mesh::OpenFault fault = handle->engine->open(tun_name, static_cast<uint16_t>(arguments.u32(2)));
  if (fault.stage != mesh::OpenStage::none) {
    handle->engine.reset();
    napi_release_threadsafe_function(handle->wake, napi_tsfn_abort);
    throw_open_fault(env, fault);
    return nullptr;
  }
  remember(handle->engine.get());
  napi_add_env_cleanup_hook(env, on_environment_end, handle);
  napi_create_reference(env, arguments.values[3], 1, &handle->stats);
  napi_value external = nullptr;
  napi_create_external(
      env, handle, [](napi_env, void* data, void*) { let_go(static_cast<Handle*>(data)); }, nullptr, &external);
  handle->owners++;
  return external;
}

// close(handle): idempotent; when it returns, the threads are gone and device and port are free.
napi_value close(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  Handle* handle = arguments.handle();
  if (handle == nullptr || handle->engine == nullptr) return nullptr;
  stop(*handle);
  napi_remove_env_cleanup_hook(env, on_environment_end, handle);
  napi_delete_reference(env, handle->stats);
  napi_release_threadsafe_function(handle->wake, napi_tsfn_abort);
  return nullptr;
}

// --- calls ----------------------------------------------------------------------------------------------------------

napi_value now(napi_env env, napi_callback_info) { return make_number(env, static_cast<double>(mesh::boot_us()) / 1'000); }

napi_value udp_port(napi_env env, napi_callback_info info) {
  const Engine* engine = Arguments<1>(env, info).engine();
  return engine == nullptr ? nullptr : make_number(env, engine->udp_port());
}

napi_value is_dual_stack(napi_env env, napi_callback_info info) {
  const Engine* engine = Arguments<1>(env, info).engine();
  return engine == nullptr ? nullptr : make_boolean(env, engine->is_dual_stack());
}

// setHandshakeKey(handle, publicKey: 32 bytes)
napi_value set_handshake_key(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  const std::span<uint8_t> key = arguments.bytes(1);
  if (key.size() == mesh::kKeyBytes) engine->set_handshake_key(key);
  else refuse(env, "a public key has 32 bytes");
  return nullptr;
}

// publishTable(handle, slots, roaming: numbers, routes)
napi_value publish_table(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  std::vector<uint16_t> slots;
  std::vector<uint16_t> roaming;
  std::vector<mesh::Route> routes;
  const bool is_valid = decode_numbers(arguments.bytes(1), mesh::kMaxPeers, slots) &&
                        decode_numbers(arguments.bytes(2), mesh::kMaxPeers, roaming) && decode_routes(arguments.bytes(3), routes);
  if (is_valid) engine->publish({.slots = slots, .roaming = roaming, .routes = routes});
  else refuse(env, "malformed table");
  return nullptr;
}

// setWays(handle, slot, ways) -> whether the slot has a peer
napi_value set_ways(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  const uint32_t slot = arguments.u32(1);
  mesh::Ways ways;
  if (!decode_ways(arguments.bytes(2), ways)) {
    refuse(env, "malformed ways");
    return nullptr;
  }
  return make_boolean(env, slot < mesh::kMaxPeers && engine->set_ways(static_cast<uint16_t>(slot), ways));
}

// setRelay(handle, members, bytesPerSecond)
napi_value set_relay(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  std::vector<mesh::RelayMember> members;
  const auto bytes_per_second = static_cast<uint64_t>(std::clamp(arguments.number(2), 0.0, kLargestInteger));
  if (decode_members(arguments.bytes(1), members)) engine->set_relay(members, bytes_per_second);
  else refuse(env, "malformed relay table");
  return nullptr;
}

// installSession(handle, slot, localIndex, remoteIndex, sendKey, receiveKey, isInitiator, expiresAt) -> whether installed.
// The keys are wiped in any case.
napi_value install_session(napi_env env, napi_callback_info info) {
  const Arguments<8> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  const std::span<uint8_t> send_key = arguments.bytes(4);
  const std::span<uint8_t> receive_key = arguments.bytes(5);
  const uint32_t slot = arguments.u32(1);
  bool is_installed = false;
  if (slot < mesh::kMaxPeers && send_key.size() == mesh::kKeyBytes && receive_key.size() == mesh::kKeyBytes) {
    is_installed = engine->install({.slot = static_cast<uint16_t>(slot),
                                    .local_index = arguments.u32(2),
                                    .remote_index = arguments.u32(3),
                                    .send_key = send_key.data(),
                                    .receive_key = receive_key.data(),
                                    .is_initiator = arguments.boolean(6),
                                    .expires_at = static_cast<uint64_t>(std::clamp(arguments.number(7), 0.0, kLargestInteger))});
  }
  explicit_bzero(send_key.data(), send_key.size());
  explicit_bzero(receive_key.data(), receive_key.size());
  return make_boolean(env, is_installed);
}

napi_value drop_session(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Engine* engine = arguments.engine();
  return engine == nullptr ? nullptr : make_boolean(env, engine->drop(arguments.u32(1)));
}

napi_value send_keepalive(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  const uint32_t slot = arguments.u32(1);
  return make_boolean(env, slot < mesh::kMaxPeers && engine->send_keepalive(static_cast<uint16_t>(slot)));
}

napi_value await_traffic(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine != nullptr) engine->await_traffic();
  return nullptr;
}

// sendDatagram(handle, way, bytes, ttl, 0: the host's default)
napi_value send_datagram(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  mesh::Ways ways;
  const bool is_valid = decode_ways(arguments.bytes(1), ways) && ways.count == 1;
  if (is_valid) engine->send_datagram(ways.all[0], arguments.bytes(2), static_cast<uint8_t>(arguments.u32(3)));
  else refuse(env, "malformed way");
  return nullptr;
}

// openSockets(handle, to: room for as many numbers as sockets are wanted) -> how many there are
napi_value open_sockets(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  const std::span<uint8_t> to = arguments.bytes(1);
  const std::vector<uint16_t> opened = engine->open_sockets(to.size() / 2);
  for (size_t i = 0; i < opened.size(); i++) mesh::store_le(&to[2 * i], opened[i]);
  return make_number(env, static_cast<double>(opened.size()));
}

// closeSockets(handle, sockets: numbers)
napi_value close_sockets(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  std::vector<uint16_t> sockets;
  if (decode_numbers(arguments.bytes(1), mesh::kMaxSockets, sockets)) engine->close_sockets(sockets);
  else refuse(env, "malformed sockets");
  return nullptr;
}

// takeExceptions(handle, to: Uint8Array) -> bytes written; onWake is called again when some are left.
napi_value take_exceptions(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Engine* engine = arguments.engine();
  if (engine == nullptr) return nullptr;
  const std::span<uint8_t> to = arguments.bytes(1);
  size_t used = 0;
  engine->drain_exceptions([&](const mesh::Exception& exception) {
    const size_t size = encode_exception(exception, to.subspan(used));
    used += size;
    return size > 0;
  });
  return make_number(env, static_cast<double>(used));
}

}  // namespace

NAPI_MODULE_INIT() {
  static constexpr struct {
    const char* name;
    napi_callback function;
  } kFunctions[] = {
      {"open", open},
      {"close", close},
      {"now", now},
      {"udpPort", udp_port},
      {"isDualStack", is_dual_stack},
      {"setHandshakeKey", set_handshake_key},
      {"publishTable", publish_table},
      {"setWays", set_ways},
      {"setRelay", set_relay},
      {"installSession", install_session},
      {"dropSession", drop_session},
      {"sendKeepalive", send_keepalive},
      {"awaitTraffic", await_traffic},
      {"sendDatagram", send_datagram},
      {"openSockets", open_sockets},
      {"closeSockets", close_sockets},
      {"takeExceptions", take_exceptions},
  };
  for (const auto& [name, function] : kFunctions) {
    napi_value value = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
    napi_set_named_property(env, exports, name, value);
  }
  return exports;
}
