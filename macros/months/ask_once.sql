{#- The answer to a query that several nodes of a build ask, before what would change it, or after. BigQuery takes a
    second for each; Postgres, which does not, is asked again. -#}
{% macro ask_once(query) %}
    {{ return(adapter.dispatch('ask_once', 'nyc_tlc')(query)) }}
{% endmacro %}

{% macro default__ask_once(query) %}
    {{ return(run_query(query)) }}
{% endmacro %}

{#- The answers of a build are kept in dbt's graph, which is all that its nodes share. -#}
{% macro bigquery__ask_once(query) %}
    {%- if graph.answers_of != invocation_id -%}
        {%- do graph.update({'answers': {}, 'answers_of': invocation_id}) -%}
    {%- endif -%}
    {%- if query not in graph.answers -%}
        {%- do graph.answers.update({query: run_query(query)}) -%}
    {%- endif -%}
    {{ return(graph.answers[query]) }}
{% endmacro %}
