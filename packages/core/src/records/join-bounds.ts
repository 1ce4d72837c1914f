/** Bounds of a join exchange, for those who make its messages and those who carry them. */

export const MAX_JOIN_REQUEST_BYTES = 1_024;

/** Records in an answer, in bytes: enough for some 500 nodes; sync brings the rest. */
export const MAX_JOIN_RECORD_BYTES: number = 512 * 1_024;
export const MAX_JOIN_RECORDS = 4_096;

/** A whole answer: the records, the certificate and what is around them. */
export const MAX_JOIN_RESPONSE_BYTES: number = 576 * 1_024;
