export { type Shape, ShapeError } from "../config/shape.ts";
export * from "./contract.ts";
export * from "./events.ts";
export { freshRtt } from "./fresh-rtt.ts";
export * from "./netcheck-view.ts";
export { statusChanges } from "./status-changes.ts";
export * from "./views.ts";
export * from "./why-view.ts";
