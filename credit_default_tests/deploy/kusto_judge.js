// Judges KQL as Azure does: reads {tables: {name: "(column: type, ...)"}, queries: {name: text}} from the standard input
// and writes, for each query, what Microsoft's own language service says against it: [{code, severity, message, line}].
// It is made of scripts for browsers, which put their names where every script finds them.
'use strict';
for (const script of ['bridge', 'Kusto.Language.Bridge']) {
  require(`@kusto/language-service-next/${script}.min.js`);
}
const {GlobalState, KustoCode, Symbols} = Kusto.Language;

const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const tables = Object.entries(given.tables).map(([name, columns]) => new Symbols.TableSymbol.$ctor7(name, columns, null));
const database = new Symbols.DatabaseSymbol.$ctor1('workspace', tables);
const state = GlobalState.Default.WithDatabase(database);

const judged = {};
for (const [name, text] of Object.entries(given.queries)) {
  const said = KustoCode.ParseAndAnalyze(text, state).GetDiagnostics();
  judged[name] = Array.from({length: said.Count}, (_, number) => said.getItem(number)).map((one) => ({
    code: one.Code,
    severity: one.Severity,
    message: one.Message,
    line: text.slice(0, one.Start).split('\n').length,
  }));
}
process.stdout.write(JSON.stringify(judged));
