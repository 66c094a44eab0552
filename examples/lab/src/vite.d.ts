/** What Vite makes of imports. */
declare module '*?raw' {
  const text: string;
  // oxlint-disable-next-line import/no-default-export -- Vite's own
  export default text;
}
declare module '*.css';
