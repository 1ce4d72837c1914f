export { type Shape, ShapeError } from "../config/shape.ts";
export * from "./contract.ts";
export * from "./views.ts";
