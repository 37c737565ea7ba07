'use strict';

// cos-nodejs-sdk-v5 against the server that `tests/harness.py` has started.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { test, before, after } = require('node:test');
const COS = require('cos-nodejs-sdk-v5');

const port = process.env.COSTREL_TEST_PORT;
const appid = process.env.COSTREL_TEST_APPID;
const Region = process.env.COSTREL_TEST_REGION;
const keys = {
  SecretId: process.env.COSTREL_TEST_SECRET_ID,
  SecretKey: process.env.COSTREL_TEST_SECRET_KEY,
};
const MIB = 1024 * 1024;

// The three settings by which the SDK reaches a server of one's own.
const byIp = new COS({ ...keys, Protocol: 'http:', Ip: `127.0.0.1:${port}`, AutoSwitchHost: false });
const byProxy = new COS({ ...keys, Protocol: 'http:', Proxy: `http://127.0.0.1:${port}`, AutoSwitchHost: false });
const cos = byIp;

let numbers = 0;
const bucketName = () => `n${Date.now() % 1e9}x${numbers++}-${appid}`;
const md5 = (data) => crypto.createHash('md5').update(data).digest('hex');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'costrel-node-'));
after(() => fs.rmSync(folder, { recursive: true }));

async function newBucket() {
  const Bucket = bucketName();
  await cos.putBucket({ Bucket, Region });
  return { Bucket, Region };
}

async function refused(promise, statusCode, code) {
  const error = await promise.then(
    () => assert.fail('was accepted'),
    (error) => error,
  );
  assert.equal(error.statusCode, statusCode, JSON.stringify(error));
  if (code) assert.equal(error.code, code, JSON.stringify(error));
  return error;
}

let at;
before(async () => {
  at = await newBucket();
});

test('buckets', async () => {
  const mine = await newBucket();
  const listed = await byProxy.getService({ Region });
  assert.ok(listed.Buckets.some((b) => b.Name === mine.Bucket && b.Location === Region));
  const head = await cos.headBucket(mine);
  assert.equal(head.headers['x-cos-bucket-region'], Region);
  assert.equal((await cos.getBucketLocation(mine)).LocationConstraint, Region);
  await refused(cos.putBucket(mine), 409, 'BucketAlreadyOwnedByYou');
  await cos.deleteBucket(mine);
  await refused(cos.headBucket(mine), 404);
});

for (const [way, client] of Object.entries({ ip: byIp, proxy: byProxy })) {
  test(`put, get and head by ${way}`, async () => {
    for (const size of [0, 1, 70000, 3 * MIB]) {
      const Body = crypto.randomBytes(size);
      const Key = `${way}/目录/k + ${size} (!'*)`;
      const put = await client.putObject({
        ...at, Key, Body, ContentType: 'text/x', StorageClass: 'STANDARD_IA',
        Headers: { 'x-cos-meta-a': '1' },
      });
      assert.equal(put.ETag, `"${md5(Body)}"`);
      assert.ok(put.RequestId);
      const got = await client.getObject({ ...at, Key });
      assert.deepEqual(got.Body, Body);
      const head = await client.headObject({ ...at, Key });
      assert.equal(head.headers['content-type'], 'text/x');
      assert.equal(head.headers['x-cos-meta-a'], '1');
      assert.equal(head.headers['x-cos-storage-class'], 'STANDARD_IA');
      assert.equal(head.headers['content-length'], String(size));
    }
  });
}

test('ranges, conditions and overrides', async () => {
  await cos.putObject({ ...at, Key: 'r', Body: '0123456789' });
  const got = await cos.getObject({
    ...at, Key: 'r', Range: 'bytes=2-5', ResponseContentType: 'image/png',
    ResponseContentDisposition: 'attachment; filename="中.png"',
  }).catch((error) => error);
  assert.equal(String(got.Body), '2345');
  assert.equal(got.headers['content-type'], 'image/png');
  const { ETag } = await cos.headObject({ ...at, Key: 'r' });
  await refused(cos.headObject({ ...at, Key: 'r', IfNoneMatch: ETag }), 304);
  await refused(cos.getObject({ ...at, Key: 'r', IfMatch: '"0"' }), 412, 'PreconditionFailed');
});

test('streams', async () => {
  const Body = crypto.randomBytes(2 * MIB);
  const file = path.join(folder, 'stream');
  fs.writeFileSync(file, Body);
  await cos.putObject({ ...at, Key: 'stream', Body: fs.createReadStream(file), ContentLength: Body.length });
  const back = path.join(folder, 'back');
  await cos.getObject({ ...at, Key: 'stream', Output: fs.createWriteStream(back) });
  assert.equal(md5(fs.readFileSync(back)), md5(Body));
});

test('listing', async () => {
  const mine = await newBucket();
  const names = ['a', 'a/b', 'a/c/d', 'b+c', '中/文', '😀'];
  for (const Key of names) await cos.putObject({ ...mine, Key, Body: Key });
  const whole = await cos.getBucket(mine);
  assert.deepEqual(whole.Contents.map((e) => e.Key), names);
  const folders = await cos.getBucket({ ...mine, Delimiter: '/' });
  assert.deepEqual(folders.CommonPrefixes.map((e) => e.Prefix), ['a/', '中/']);
  const seen = [];
  let Marker = '';
  for (;;) {
    const page = await cos.getBucket({ ...mine, Marker, MaxKeys: 2 });
    seen.push(...page.Contents.map((e) => e.Key));
    if (page.IsTruncated !== 'true') break;
    Marker = page.NextMarker;
  }
  assert.deepEqual(seen, names);
  const gone = await cos.deleteMultipleObject({ ...mine, Objects: [...names, '/a'].map((Key) => ({ Key })) });
  assert.equal(gone.Deleted.length, names.length + 1);
  await cos.deleteBucket(mine);
});

test('copies', async () => {
  const Body = crypto.randomBytes(100000);
  await cos.putObject({ ...at, Key: 'src 源', Body, Headers: { 'x-cos-meta-a': '1' } });
  const host = `${at.Bucket}.cos.${Region}.myqcloud.com`;
  const CopySource = `${host}/${encodeURIComponent('src 源')}`;
  const done = await cos.putObjectCopy({ ...at, Key: 'dst', CopySource });
  assert.equal(done.ETag.replaceAll('"', ''), md5(Body));
  assert.equal((await cos.headObject({ ...at, Key: 'dst' })).headers['x-cos-meta-a'], '1');
  await refused(cos.putObjectCopy({ ...at, Key: 'x', CopySource: `${host}/missing` }), 404);
});

test('slice upload, resume and slice copy', async () => {
  const Body = crypto.randomBytes(12 * MIB + 3);
  const FilePath = path.join(folder, 'slices');
  fs.writeFileSync(FilePath, Body);
  // Two of the parts are there already, from a client that went away.
  const { UploadId } = await cos.multipartInit({ ...at, Key: 'slices' });
  for (const PartNumber of [2, 5]) {
    await cos.multipartUpload({
      ...at, Key: 'slices', UploadId, PartNumber, Body: Body.subarray((PartNumber - 1) * MIB, PartNumber * MIB),
    });
  }
  const open = await cos.multipartList({ ...at, Prefix: 'slices' });
  assert.deepEqual(open.Upload.map((u) => u.UploadId), [UploadId]);
  await cos.sliceUploadFile({ ...at, Key: 'slices', FilePath, ChunkSize: MIB });
  assert.deepEqual((await cos.multipartList({ ...at, Prefix: 'slices' })).Upload, []);
  const got = await cos.getObject({ ...at, Key: 'slices' });
  assert.equal(md5(got.Body), md5(Body));
  assert.match(got.ETag, /^"[0-9a-f]{32}-13"$/);
  await byProxy.sliceCopyFile({
    ...at, Key: 'sliced copy', CopySource: `${at.Bucket}.cos.${Region}.myqcloud.com/slices`,
    CopySliceSize: MIB, CopyChunkSize: 2 * MIB,
  });
  const copied = await cos.getObject({ ...at, Key: 'sliced copy' });
  assert.equal(md5(copied.Body), md5(Body));
});

test('multipart by hand', async () => {
  const { UploadId } = await cos.multipartInit({ ...at, Key: 'm' });
  const part = await cos.multipartUpload({ ...at, Key: 'm', UploadId, PartNumber: 1, Body: 'only' });
  const listed = await cos.multipartListPart({ ...at, Key: 'm', UploadId });
  assert.deepEqual(listed.Part.map((p) => [p.PartNumber, p.Size, p.ETag]), [['1', '4', part.ETag]]);
  const done = await cos.multipartComplete({ ...at, Key: 'm', UploadId, Parts: [{ PartNumber: 1, ETag: part.ETag }] });
  assert.match(done.ETag, /-1"$/);
  await refused(cos.multipartAbort({ ...at, Key: 'm', UploadId }), 404, 'NoSuchUpload');
});

test('append', async () => {
  const one = await cos.appendObject({ ...at, Key: 'log', Body: 'one ', Position: 0 });
  assert.equal(one.headers['x-cos-next-append-position'], '4');
  await cos.appendObject({ ...at, Key: 'log', Body: 'two', Position: 4 });
  assert.equal(String((await cos.getObject({ ...at, Key: 'log' })).Body), 'one two');
  await refused(cos.appendObject({ ...at, Key: 'log', Body: 'x', Position: 4 }), 409, 'AppendPositionErr');
});

test('many files at once', async () => {
  const files = [];
  for (let n = 0; n < 40; n++) {
    const FilePath = path.join(folder, `many-${n}`);
    fs.writeFileSync(FilePath, crypto.randomBytes(n % 8 === 0 ? 2 * MIB : n * 100));
    files.push({ ...at, Key: `many/${n}`, FilePath });
  }
  const done = await cos.uploadFiles({ files, SliceSize: MIB });
  assert.ok(done.files.every((f) => !f.error), JSON.stringify(done.files.find((f) => f.error)));
  for (const { Key, FilePath } of files) {
    const got = await cos.getObject({ ...at, Key });
    assert.equal(md5(got.Body), md5(fs.readFileSync(FilePath)), Key);
  }
});

// A URL of the SDK names the real host; ask for it through the server.
function fetchByProxy(url) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port, path: url, headers: { Host: new URL(url).host } },
      (response) => {
        const pieces = [];
        response.on('data', (piece) => pieces.push(piece));
        response.on('end', () => resolve({ status: response.statusCode, body: String(Buffer.concat(pieces)) }));
      },
    );
    request.on('error', reject);
    request.end();
  });
}

test('tags', async () => {
  const Tags = [{ Key: 'colour', Value: 'blue' }, { Key: '页', Value: 'a/b' }];
  await cos.putObject({ ...at, Key: 'tagged', Body: 'data' });
  await cos.putObjectTagging({ ...at, Key: 'tagged', Tags });
  assert.deepEqual((await cos.getObjectTagging({ ...at, Key: 'tagged' })).Tags, Tags);
  await cos.deleteObjectTagging({ ...at, Key: 'tagged' });
  assert.deepEqual((await cos.getObjectTagging({ ...at, Key: 'tagged' })).Tags, []);
  await cos.putBucketTagging({ ...at, Tags });
  assert.deepEqual((await cos.getBucketTagging(at)).Tags, Tags);
  await cos.deleteBucketTagging(at);
  assert.deepEqual((await cos.getBucketTagging(at)).Tags, []);
});

test('presigned URLs', async () => {
  await cos.putObject({ ...at, Key: 'u 中', Body: 'by url' });
  // Without a callback the SDK leaves `;` raw in the query.
  const raw = cos.getObjectUrl({ ...at, Key: 'u 中', Sign: true });
  assert.match(raw, /;/);
  assert.deepEqual(await fetchByProxy(raw), { status: 200, body: 'by url' });
  const encoded = await new Promise((resolve, reject) =>
    cos.getObjectUrl(
      { ...at, Key: 'u 中', Sign: true, Query: { 'response-content-type': 'text/css' }, Expires: 50 * 365 * 86400 },
      (error, data) => (error ? reject(error) : resolve(data.Url)),
    ),
  );
  assert.deepEqual(await fetchByProxy(encoded), { status: 200, body: 'by url' });
  const bare = cos.getObjectUrl({ ...at, Key: 'u 中', Sign: false });
  assert.equal((await fetchByProxy(bare)).status, 403);
});

test('a wrong clock corrects itself', async () => {
  const skewed = new COS({
    ...keys, Protocol: 'http:', Ip: `127.0.0.1:${port}`, AutoSwitchHost: false, SystemClockOffset: -3 * 3600 * 1000,
  });
  await skewed.putObject({ ...at, Key: 'clock', Body: 'right in the end' });
  assert.ok(Math.abs(skewed.options.SystemClockOffset) < 60000, String(skewed.options.SystemClockOffset));
});

test('strangers', async () => {
  const stranger = new COS({ ...keys, SecretKey: 'x'.repeat(32), Protocol: 'http:', Ip: `127.0.0.1:${port}`, AutoSwitchHost: false });
  await refused(stranger.headObject({ ...at, Key: 'r' }), 403);
  await refused(stranger.getObject({ ...at, Key: 'r' }), 403, 'SignatureDoesNotMatch');
});

test('what is missing', async () => {
  const error = await refused(cos.getObject({ ...at, Key: 'missing' }), 404, 'NoSuchKey');
  assert.ok(error.error.Message && error.error.Resource && error.error.RequestId && error.error.TraceId);
  await refused(cos.headObject({ ...at, Key: 'missing' }), 404);
});
