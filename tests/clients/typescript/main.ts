// The main flow with a client whose types openapi-typescript makes from the contract.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/kafang.d.ts";

const [baseUrl, officeKey, tillKey, templateId, storeId] = process.argv.slice(2) as [
  string, string, string, string, string,
];
const client = (key: string) =>
  createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
const [office, till] = [client(officeKey), client(tillKey)];

type Answer<T> = { data?: T; error?: components["schemas"]["Problem"] };
function got<T>(answer: Answer<T>): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}
const once = (key: string) => ({ "Idempotency-Key": `typescript-${key}` });
const yuan = (value: number) => ({ value, currency: "CNY" });

const card = got(await office.POST("/v1/cards", {
  params: { header: once("issue") },
  body: { template_id: templateId, activate: false },
}));
const path = { card_id: card.id };
got(await office.POST("/v1/cards/{card_id}/activate", {
  params: { path, header: once("activate") },
  body: {},
}));
got(await office.POST("/v1/cards/{card_id}/top-ups", {
  params: { path, header: once("top-up") },
  body: { amount: yuan(30000), tender: "wechat_pay", payment_reference: "4200002026030100481", store_id: storeId },
}));
const sale = (value: number) =>
  till.POST("/v1/redemptions", {
    params: { header: once(`redeem-${value}`) },
    body: { request_no: `typescript-${value}`, amount: yuan(value), sources: [{ card_number: card.card_number }] },
  });
const redemption = got(await sale(8800));
got(await till.POST("/v1/redemptions/{redemption_id}/refunds", {
  params: { path: { redemption_id: redemption.id }, header: once("refund") },
  body: { amount: yuan(3000) },
}));
const refused = (await sale(100000000)).error;
const statement = got(await office.GET("/v1/cards/{card_id}/statement", { params: { path } }));
const last = statement.data.at(-1)!;
console.log(JSON.stringify({
  kinds: statement.data.map((line) => line.kind),
  left: last.principal + last.bonus,
  refused: [refused?.code, refused?.reasons[0]?.code],
}));
