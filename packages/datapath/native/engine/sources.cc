#include "sources.h"

#include "random.h"

namespace mesh {

SourceHash::SourceHash() { fill_random({reinterpret_cast<uint8_t*>(key_.data()), sizeof key_}); }

bool SourceBuckets::take(Source source, uint64_t now) {
  uint32_t entry = find(source);
  if (entry == 0) entry = add(source);
  else unlink(entry);
  link_as_newest(entry);
  return entries_[entry].bucket.take(rate_, now);
}

uint32_t SourceBuckets::find(Source source) {
  uint32_t entry = head_of(source);
  while (entry != 0 && entries_[entry].source != source) entry = entries_[entry].behind;
  return entry;
}

// A source with a full bucket, not yet in the ring.
uint32_t SourceBuckets::add(Source source) {
  uint32_t entry = entries_[0].newer;
  if (used_ < kMaxSources) {
    entry = ++used_;
  } else {
    unlink(entry);
    uint32_t* link = &head_of(entries_[entry].source);
    while (*link != entry) link = &entries_[*link].behind;
    *link = entries_[entry].behind;
  }
  Entry& added = entries_[entry];
  added.source = source;
  added.bucket = {};
  uint32_t& head = head_of(source);
  added.behind = head;
  head = entry;
  return entry;
}

void SourceBuckets::unlink(uint32_t entry) {
  const uint32_t older = entries_[entry].older;
  const uint32_t newer = entries_[entry].newer;
  entries_[older].newer = newer;
  entries_[newer].older = older;
}

void SourceBuckets::link_as_newest(uint32_t entry) {
  const uint32_t before = entries_[0].older;
  entries_[entry].older = before;
  entries_[entry].newer = 0;
  entries_[before].newer = entry;
  entries_[0].older = entry;
}

}  // namespace mesh
