import type { ErrorFacts } from "../errors.ts";
import { openObject, optional, record, type Shape, text } from "./shape.ts";

export const errorFactsShape: Shape<ErrorFacts> = openObject({
  code: text,
  message: text,
  hint: optional(text),
  details: optional(record((value) => value)),
});
