/** Version of all programs and packages of this repository; a test holds it equal to every package.json. */
export const productVersion = '0.1.0';
