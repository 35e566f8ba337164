import { keptBundles } from './build/kept-bundles.ts';

/** Before all tests, and by benches: the programs that they start (`programPath` of the testkit reads it). */
export default async function providePrograms(): Promise<void> {
  process.env['SALLYPORT_TEST_PROGRAMS'] = await keptBundles();
}
