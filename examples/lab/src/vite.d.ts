/** What Vite makes of imports. */
declare module '*?raw' {
  const text: string;
  // oxlint-disable-next-line import/no-default-export -- Vite's own
  export default text;
}
declare module '*?worker' {
  const start: new () => Worker;
  // oxlint-disable-next-line import/no-default-export -- Vite's own
  export default start;
}
declare module '*.css';
