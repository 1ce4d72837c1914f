export { isName, nameFrom } from "../bytes/name.ts";
export * from "./agent-files.ts";
export * from "./launch-order.ts";
export * from "./settings.ts";
export { type Shape, ShapeError, wholeNumber } from "./shape.ts";
