import { type Millis, minutes, seconds } from "../time/millis.ts";

// Fixed by the protocol (WireGuard whitepaper, section 6.1). Stock peers count on them.

/** A session of this age is replaced by whoever initiated it, when it sends data. */
export const REKEY_AFTER_TIME: Millis = seconds(120);

/** A session of this age neither seals nor opens any more. */
export const REJECT_AFTER_TIME: Millis = seconds(180);

/** An unanswered handshake is given up after this long. */
export const REKEY_ATTEMPT_TIME: Millis = seconds(90);

/** Two initiations to one peer are at least this far apart. */
export const REKEY_TIMEOUT: Millis = seconds(5);

/** Who received data and sent nothing for this long says that it is alive. */
export const KEEPALIVE_TIMEOUT: Millis = seconds(10);

/** Packets sealed with one key before it is replaced. */
export const REKEY_AFTER_MESSAGES: number = 2 ** 60;

/** A cookie is used for this long after it came: its maker's secret may be replaced as often (whitepaper section 5.4.7). */
export const COOKIE_LIFETIME: Millis = seconds(120);

// Chosen by implementations. Values of wireguard-go, so that mixed meshes behave alike.

/** Added at random to REKEY_TIMEOUT: two peers that started together do not collide for ever. Whole ms, 0 to 333. */
export const REKEY_TIMEOUT_JITTER: Millis = 333;

/**
 * An initiator that still receives on a session of this age replaces it, even if it never sends: the last instant at
 * which a keepalive and one retry still fit in front of REJECT_AFTER_TIME.
 */
export const REKEY_AFTER_TIME_RECEIVING: Millis = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;

/**
 * Data went out and nothing authentic came back: the peer lost the session. A keepalive and its way back fit in. Here too
 * comes REKEY_TIMEOUT_JITTER: both ends of a cut path begin to miss each other at the same time.
 */
export const SILENCE_TIMEOUT: Millis = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT;

/** Initiations of one peer that come closer than 1/50 s are not answered: each costs us half a millisecond. */
export const INITIATION_INTERVAL: Millis = 20;

/**
 * Between an initiation and its repetition when a path is proven, at least: datagrams overtake each other, and stock peers refuse
 * what comes closer than INITIATION_INTERVAL. Ours.
 */
export const EARLY_REPEAT_INTERVAL: Millis = 50;

/** Initiations of one attempt beyond which none is repeated early: 18 by REKEY_TIMEOUT in REKEY_ATTEMPT_TIME, and a few more. Ours. */
export const MOST_INITIATIONS = 24;

/**
 * A responder waits this long for the packet that confirms its session before it initiates by itself. One second is
 * how often the engine repeats `session-wanted`; most round trips are shorter. Ours, not wireguard-go's.
 */
export const CONFIRMATION_TIMEOUT: Millis = seconds(1);

/**
 * How far ahead of the wall clock stamps are reserved (stamp-clock.ts). Shorter means more writes; a node that restarts
 * steps from there for as long, which costs nothing. Ours.
 */
export const STAMP_LEAD: Millis = minutes(10);

/**
 * Of what is reserved, so much is for steps of 17 ms only, which need no clock: 600 of them for each peer while a write is
 * on its way or the disk is full. Restarts less than this apart let stamps run ahead of time. Ours.
 */
export const STAMP_STEP_RESERVE: Millis = seconds(10);
